// A second verifier of the ledger, on the tlog and note packages of the Go project. It shares no code with kapcare.
//
//	ledger-verifier -key VKEY [-since OLD_CHECKPOINT] DIRECTORY
//	ledger-verifier -list FILE
//
// A list has one line of JSON for each directory: {"directory": "...", "key": "...", "since": "..."}.
// For each directory it prints one line of JSON: the verdict, the reason and the first bad index (-1: none).
// Exit code 0: all hold. 1: one does not. 2: it was called wrongly.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
)

// A task is a directory to verify, with the log's key and, if Since is not empty, the file of a checkpoint that is held.
type task struct {
	Directory string `json:"directory"`
	Key       string `json:"key"`
	Since     string `json:"since"`
}

// A verdict says whether a directory holds and, if not, why and from which index.
type verdict struct {
	Verdict string `json:"verdict"`
	Reason  string `json:"reason,omitempty"`
	Index   int64  `json:"index"`
}

// A refusal is what does not hold.
type refusal struct {
	reason string
	index  int64
}

func (r *refusal) Error() string { return fmt.Sprintf("%s at %d", r.reason, r.index) }

func refused(reason string) error                { return &refusal{reason, -1} }
func refusedAt(reason string, index int64) error { return &refusal{reason, index} }

func judged(err error) verdict {
	if err == nil {
		return verdict{"holds", "", -1}
	}
	if r, ok := err.(*refusal); ok {
		return verdict{"does not hold", r.reason, r.index}
	}
	if missing(err) {
		return verdict{"cannot be read", "file-missing", -1}
	}
	return verdict{"cannot be read", "file-unreadable", -1}
}

func tasks() ([]task, error) {
	key := flag.String("key", "", "the log's key, a vkey")
	since := flag.String("since", "", "a checkpoint that you hold")
	list := flag.String("list", "", "a file with a line of JSON for each directory")
	flag.Parse()
	if *list == "" {
		if *key == "" || flag.NArg() != 1 {
			return nil, fmt.Errorf("give -key and one directory, or -list")
		}
		return []task{{flag.Arg(0), *key, *since}}, nil
	}
	file, err := os.Open(*list)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var found []task
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var one task
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			return nil, err
		}
		found = append(found, one)
	}
	return found, lines.Err()
}

func main() {
	found, err := tasks()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	code := 0
	output := json.NewEncoder(os.Stdout)
	for _, one := range found {
		told := judged(verify(one))
		if told.Verdict != "holds" {
			code = 1
		}
		if err := output.Encode(told); err != nil {
			os.Exit(2)
		}
	}
	os.Exit(code)
}
