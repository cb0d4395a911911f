package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	height     = 8  // of a tile: 256 hashes
	signatures = 16 // that a checkpoint may have
)

// openCheckpoint verifies the signature of a checkpoint and reads its size and root.
func openCheckpoint(path string, key string) (tlog.Tree, error) {
	var none tlog.Tree
	content, err := os.ReadFile(path)
	if err != nil {
		return none, err
	}
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return none, err
	}
	opened, err := note.Open(content, note.VerifierList(verifier))
	var unverified *note.UnverifiedNoteError
	var invalid *note.InvalidSignatureError
	switch {
	case errors.As(err, &unverified):
		return none, refused("wrong-key")
	case errors.As(err, &invalid):
		return none, refused("signature-does-not-hold")
	case err != nil:
		return none, refused("note-malformed")
	case len(opened.Sigs)+len(opened.UnverifiedSigs) > signatures:
		return none, refused("too-many-signatures")
	}
	for _, signature := range append(opened.Sigs, opened.UnverifiedSigs...) {
		// note takes spellings of base64 that stand for the same bytes; only one of them was signed and sent.
		if _, err := base64.StdEncoding.Strict().DecodeString(signature.Base64); err != nil {
			return none, refused("signature-malformed")
		}
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return none, refused("checkpoint-malformed")
	}
	if lines[0] != verifier.Name() {
		return none, refused("another-origin")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if lines[1] == "0" {
		return none, refused("size-zero")
	}
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return none, refused("checkpoint-malformed")
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil || root.String() != lines[2] {
		return none, refused("checkpoint-malformed")
	}
	return tlog.Tree{N: size, Hash: root}, nil
}

// A log is what is read from a directory: all hashes of the tree over its entries, as tlog stores them.
type log struct {
	directory string
	hashes    []tlog.Hash
	streams   *streams
	mismatch  int64 // the first entry whose hash is not the one in its tile, or -1
	said      error // the first entry that says what it must not
}

// ReadHashes serves the hashes of the tree over the entries.
func (l *log) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, 0, len(indexes))
	for _, index := range indexes {
		if index >= int64(len(l.hashes)) {
			return nil, errors.New("there is no such hash")
		}
		found = append(found, l.hashes[index])
	}
	return found, nil
}

func (l *log) add(index int64, entry []byte, kept tlog.Hash) error {
	hash := tlog.RecordHash(entry)
	if hash != kept && l.mismatch < 0 {
		l.mismatch = index
	}
	if l.said == nil {
		l.said = l.streams.take(index, entry)
	}
	stored, err := tlog.StoredHashesForRecordHash(index, hash, l)
	l.hashes = append(l.hashes, stored...)
	return err
}

func verify(one task) error {
	tree, err := openCheckpoint(filepath.Join(one.Directory, "checkpoint"), one.Key)
	if err != nil {
		return err
	}
	var held tlog.Tree
	if one.Since != "" {
		if held, err = openCheckpoint(one.Since, one.Key); err != nil {
			return err
		}
		if held.N > tree.N {
			return refusedAt("checkpoint-rolled-back", tree.N)
		}
		if held.N == tree.N && held.Hash != tree.Hash {
			return refused("forked")
		}
	}
	l := &log{directory: one.Directory, streams: newStreams(), mismatch: -1}
	if err := l.readEntries(tree.N); err != nil {
		if l.mismatch >= 0 {
			return refusedAt("entry-changed", l.mismatch)
		}
		return err
	}
	return l.judge(tree, held)
}

func (l *log) readEntries(size int64) error {
	for first := int64(0); first < size; first += 1 << height {
		width := size - first
		if width > 1<<height {
			width = 1 << height
		}
		tile, err := l.readTile(tlog.Tile{H: height, L: 0, N: first >> height, W: int(width)})
		if err != nil {
			return err
		}
		bundle, err := l.openBundle(first>>height, int(width))
		if err != nil {
			return err
		}
		for index := first; index < first+width; index++ {
			entry, err := bundle.next()
			if err != nil {
				return refusedAt("entries-missing", index)
			}
			var kept tlog.Hash
			copy(kept[:], tile[(index-first)*tlog.HashSize:])
			if err := l.add(index, entry, kept); err != nil {
				return err
			}
		}
		if !bundle.ended() {
			return refusedAt("entries-added", first+width)
		}
	}
	return nil
}

// judge compares the tree over the entries with the checkpoint, with every tile and with the checkpoint that is held.
func (l *log) judge(tree tlog.Tree, held tlog.Tree) error {
	root, err := tlog.TreeHash(tree.N, l)
	if err != nil {
		return err
	}
	if l.mismatch >= 0 && root != tree.Hash {
		return refusedAt("entry-changed", l.mismatch)
	}
	for _, tile := range tlog.NewTiles(height, 0, tree.N) {
		if err := l.compareTile(tile, root == tree.Hash); err != nil {
			return err
		}
	}
	if root != tree.Hash {
		return refused("root-differs")
	}
	if held.N > 0 {
		proof, err := tlog.ProveTree(tree.N, held.N, l)
		if err != nil {
			return err
		}
		if tlog.CheckTree(proof, tree.N, tree.Hash, held.N, held.Hash) != nil {
			return refused("forked")
		}
	}
	return l.said
}

func (l *log) compareTile(tile tlog.Tile, entriesHold bool) error {
	wanted, err := tlog.ReadTileData(tile, l)
	if err != nil {
		return err
	}
	kept, err := l.readTile(tile)
	if err != nil {
		return err
	}
	for at := 0; at < tile.W; at++ {
		if !bytes.Equal(wanted[at*tlog.HashSize:(at+1)*tlog.HashSize], kept[at*tlog.HashSize:(at+1)*tlog.HashSize]) {
			first := (tile.N<<height + int64(at)) << (height * uint(tile.L))
			if entriesHold {
				return refusedAt("tile-changed", first)
			}
			return refusedAt("entries-changed", first)
		}
	}
	return nil
}
