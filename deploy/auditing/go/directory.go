package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// numbered is a tile's number as C2SP tlog-tiles has it: groups of three digits, all but the last after an x.
func numbered(number int64) string {
	path := fmt.Sprintf("%03d", number%1000)
	for number >= 1000 {
		number /= 1000
		path = fmt.Sprintf("x%03d/%s", number%1000, path)
	}
	return path
}

// readFile reads a file of a width; where a partial one is missing, the full one serves. It returns the width that it found.
func (l *log) readFile(kind string, number int64, width int) ([]byte, int, error) {
	whole := filepath.Join(l.directory, "tile", kind, filepath.FromSlash(numbered(number)))
	if width < 1<<height {
		content, err := os.ReadFile(filepath.Join(whole+".p", fmt.Sprint(width)))
		if !missing(err) {
			return content, width, err
		}
	}
	content, err := os.ReadFile(whole)
	return content, 1 << height, err
}

func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || (err != nil && strings.Contains(err.Error(), "not a directory"))
}

func (l *log) readTile(tile tlog.Tile) ([]byte, error) {
	content, width, err := l.readFile(fmt.Sprint(tile.L), tile.N, tile.W)
	first := tile.N << (height * uint(tile.L+1))
	switch {
	case missing(err):
		return nil, refusedAt("tile-missing", first)
	case err != nil:
		return nil, err
	case len(content) != width*tlog.HashSize:
		return nil, refusedAt("tile-damaged", first)
	}
	return content, nil
}

// A bundle is what is left of a file of entries; exact says that it must end with the entries that count.
type bundle struct {
	rest  []byte
	exact bool
}

func (l *log) openBundle(number int64, width int) (*bundle, error) {
	content, found, err := l.readFile("entries", number, width)
	if missing(err) {
		return nil, refusedAt("entries-missing", number<<height)
	}
	return &bundle{content, found == width}, err
}

func (b *bundle) next() ([]byte, error) {
	if len(b.rest) < 2 {
		return nil, errors.New("the bundle ends")
	}
	end := 2 + int(binary.BigEndian.Uint16(b.rest))
	if len(b.rest) < end {
		return nil, errors.New("the bundle ends within an entry")
	}
	entry := b.rest[2:end]
	b.rest = b.rest[end:]
	return entry, nil
}

func (b *bundle) ended() bool { return len(b.rest) == 0 || !b.exact }
