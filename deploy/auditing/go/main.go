// A second verifier of the ledger, on the tlog and note packages of the Go project. It shares no code with kapcare.
//
//	ledger-verifier -key VKEY [-since OLD_CHECKPOINT] DIRECTORY
//	ledger-verifier -list FILE
//
// A list (- for standard input) has one line of JSON for each directory: {"directory": "...", "key": "...", "since": "..."}.
// For each it prints, as soon as it has read the line, one line of JSON: the verdict, the reason and the first bad index (-1: none).
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

func main() {
	key := flag.String("key", "", "the log's key, a vkey")
	since := flag.String("since", "", "a checkpoint that you hold")
	list := flag.String("list", "", "a file with a line of JSON for each directory; - for standard input")
	flag.Parse()
	var err error
	holds := true
	switch {
	case *list != "":
		holds, err = judgeList(*list)
	case *key != "" && flag.NArg() == 1:
		holds, err = tell(task{flag.Arg(0), *key, *since})
	default:
		err = fmt.Errorf("give -key and one directory, or -list")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if !holds {
		os.Exit(1)
	}
}

// judgeList answers each line as it comes, and says whether all hold.
func judgeList(path string) (bool, error) {
	file := os.Stdin
	if path != "-" {
		opened, err := os.Open(path)
		if err != nil {
			return false, err
		}
		defer opened.Close()
		file = opened
	}
	all := true
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var one task
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			return false, err
		}
		holds, err := tell(one)
		if err != nil {
			return false, err
		}
		all = all && holds
	}
	return all, lines.Err()
}

// tell prints the verdict on a directory, and says whether it holds.
func tell(one task) (bool, error) {
	told := judged(verify(one))
	return told.Verdict == "holds", json.NewEncoder(os.Stdout).Encode(told)
}
