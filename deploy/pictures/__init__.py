"""Pictures of care, as SVG, made from what the services show. They name no patient."""
