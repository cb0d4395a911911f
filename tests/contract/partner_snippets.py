"""The snippets of docs/partner-guide.md, each run in its language as a partner would have it: copied, and nothing else installed.

A snippet is a fenced block whose first line is a comment with the name of its file. A run takes messages to verify and
decisions to sign, as JSON, and answers what became of each.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.contract.npm import install

GUIDE = Path(__file__).resolve().parent.parent.parent / "docs" / "partner-guide.md"
TYPESCRIPT = ("typescript@7.0.2", "@types/node@20.19.43")
STRICT = ["--strict", "--noUncheckedIndexedAccess", "--exactOptionalPropertyTypes", "--noImplicitReturns", "--noUnusedLocals"]

Run = Callable[[dict[str, Any]], list[Any]]
"""Takes `{"verify": [...]}`, `{"sign": [...]}` or, in Python, `{"ed25519": [...]}`; answers a list of the same length."""

PYTHON_DRIVER = """
import base64
import json
import sys

sys.path.insert(0, sys.argv[1])


def verdict(one):
    from verify_webhook import Unverified, verify

    try:
        return {"accepted": verify(one["headers"], base64.b64decode(one["body"]), one["keys"], one["now"])}
    except Unverified:
        return "refused"
    except Exception as error:
        return repr(error)


def signed(one):
    from sign_decision import sign

    return sign(one["id"], base64.b64decode(one["body"]), one["key"], one["now"])


def ed25519(one):
    from verify_webhook import ed25519_verifies

    return ed25519_verifies(*(bytes.fromhex(one[part]) for part in ("key", "signature", "message")))


given = json.load(sys.stdin)
(task,) = given
print(json.dumps([{"verify": verdict, "sign": signed, "ed25519": ed25519}[task](one) for one in given[task]]))
"""
TYPESCRIPT_DRIVER = """
import { readFileSync } from "node:fs";
import { sign } from "./sign_decision.js";
import { Unverified, verify } from "./verify_webhook.js";

type ToVerify = { headers: [string, string][]; body: string; keys: string[]; now: number };
type ToSign = { id: string; body: string; key: string; now: number };

function verdict({ headers, body, keys, now }: ToVerify): unknown {
  try {
    const { id, message } = verify(headers.flat(), Buffer.from(body, "base64"), keys, now);
    return { accepted: [id, message] };
  } catch (error) {
    return error instanceof Unverified ? "refused" : String(error);
  }
}

const given = JSON.parse(readFileSync(0, "utf8")) as { verify?: ToVerify[]; sign?: ToSign[] };
const signed = (given.sign ?? []).map(({ id, body, key, now }) => sign(id, Buffer.from(body, "base64"), key, now));
console.log(JSON.stringify([...(given.verify ?? []).map(verdict), ...signed]));
"""
GO_DRIVER = """
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"guide/kapcare"
)

type given struct {
	Verify []struct {
		Headers [][2]string
		Body    []byte
		Keys    []string
		Now     int64
	}
	Sign []struct {
		ID, Key string
		Body    []byte
		Now     int64
	}
}

func main() {
	var all given
	if err := json.NewDecoder(os.Stdin).Decode(&all); err != nil {
		panic(err)
	}
	answers := []any{}
	for _, one := range all.Verify {
		header := http.Header{}
		for _, pair := range one.Headers {
			header.Add(pair[0], pair[1])
		}
		id, message, err := kapcare.Verify(header, one.Body, one.Keys, time.Unix(one.Now, 0))
		switch {
		case errors.Is(err, kapcare.ErrUnverified):
			answers = append(answers, "refused")
		case err != nil:
			answers = append(answers, fmt.Sprint(err))
		default:
			answers = append(answers, map[string]any{"accepted": []any{id, message}})
		}
	}
	for _, one := range all.Sign {
		header, err := kapcare.Sign(one.ID, one.Body, one.Key, time.Unix(one.Now, 0))
		if err != nil {
			panic(err)
		}
		signed := map[string]string{}
		for name := range header {
			signed[strings.ToLower(name)] = header.Get(name)
		}
		answers = append(answers, signed)
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		panic(err)
	}
}
"""


def snippets() -> dict[str, str]:
    """Return the text of every snippet by the name of its file."""
    found = re.findall(
        r"^```(?:python|typescript|go)\n(?:#|//) (\w+\.(?:py|ts|go))\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL
    )
    assert len({name for name, _ in found}) == len(found)
    return dict(found)


def write(folder: Path, suffix: str) -> None:
    for name, text in snippets().items():
        if name.endswith(suffix):
            (folder / name).write_text(text)


def run(command: list[str | Path], given: dict[str, Any], folder: Path) -> list[Any]:
    answered = subprocess.run(command, cwd=folder, input=json.dumps(given), capture_output=True, text=True, check=False, timeout=60)
    assert answered.returncode == 0, answered.stderr
    answers: list[Any] = json.loads(answered.stdout)
    assert len(answers) == sum(map(len, given.values()))
    return answers


def python(folder: Path) -> Run:
    """Without any package (`-S`), but to sign: that one needs `cryptography`."""
    write(folder, ".py")
    (folder / "driver.py").write_text(PYTHON_DRIVER)
    return lambda given: run([sys.executable, "-I", *([] if "sign" in given else ["-S"]), "driver.py", str(folder)], given, folder)


def typescript(folder: Path) -> Run:
    install(folder, *TYPESCRIPT)
    write(folder, ".ts")
    (folder / "driver.ts").write_text(TYPESCRIPT_DRIVER)
    (folder / "package.json").write_text('{"type": "module"}')
    module = ["--module", "nodenext", "--target", "es2022", "--types", "node", "--outDir", "made"]
    compiler = folder / "node_modules" / ".bin" / "tsc"
    made = subprocess.run([compiler, *STRICT, *module, "driver.ts"], cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    assert made.returncode == 0, made.stdout
    return lambda given: run(["node", Path("made") / "driver.js"], given, folder)


def go(folder: Path) -> Run:
    if shutil.which("go") is None:
        pytest.skip("Go is not on this machine")
    (folder / "kapcare").mkdir()
    write(folder / "kapcare", ".go")
    (folder / "main.go").write_text(GO_DRIVER.lstrip())
    (folder / "go.mod").write_text("module guide\n\ngo 1.21\n")
    # No module but the snippet's own can be fetched.
    environment = {**os.environ, "GOPROXY": "off", "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off"}
    for command in (["gofmt", "-l", "kapcare"], ["go", "vet", "./..."], ["go", "build", "-o", "made", "."]):
        did = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=240)
        assert (did.returncode, did.stdout) == (0, ""), did.stdout + did.stderr
    return lambda given: run([folder / "made"], given, folder)
