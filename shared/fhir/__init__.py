"""FHIR R4 (4.0.1) as exports speak it: the codes, the elements, and a case's record of resources. Pure."""
