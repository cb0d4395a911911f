package main

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// streams holds what must follow on what: sequences of each source and subject from 1, and the chain of each subject.
type streams struct {
	sequences map[[2]string]uint64
	chains    map[string]int64
}

func newStreams() *streams { return &streams{map[[2]string]uint64{}, map[string]int64{}} }

type content struct {
	Headers  map[string]string `json:"headers"`
	Previous *int64            `json:"previous"`
}

func (s *streams) take(index int64, entry []byte) error {
	end := bytes.IndexByte(entry, '\n')
	var read content
	if end < 0 || json.Unmarshal(entry[:end], &read) != nil {
		return refusedAt("entry-malformed", index)
	}
	sequence, err := strconv.ParseUint(read.Headers["ce_sequence"], 10, 64)
	if err != nil {
		return refusedAt("entry-malformed", index)
	}
	subject := read.Headers["ce_subject"]
	stream := [2]string{read.Headers["ce_source"], subject}
	if sequence != s.sequences[stream]+1 {
		return refusedAt("sequence-gap", index)
	}
	last, known := s.chains[subject]
	if known != (read.Previous != nil) || (known && *read.Previous != last) {
		return refusedAt("case-chain-broken", index)
	}
	s.sequences[stream] = sequence
	s.chains[subject] = index
	return nil
}
