#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes what follows from the directive table: the reference part of fairlead.conf(5), vim syntax.

    gen.py [--table FILE | --fairlead BIN]           writes man/fairlead.conf.5, contrib/vim/syntax/fairlead.vim
    gen.py --check [--table FILE | --fairlead BIN]   exit 1 with the differences when they are not up to date,
                                                     or when the sample configuration lacks a directive

The table is the output of `fairlead -x directives`. In the manual only what stands between
.\\" BEGIN directives and .\\" END directives is replaced.
"""
import argparse
import difflib
import pathlib
import re
import subprocess
import sys
import textwrap

TOP = pathlib.Path(__file__).resolve().parent.parent
MANUAL = TOP / "man/fairlead.conf.5"
SAMPLE = TOP / "etc/fairlead.conf.sample"
VIM = TOP / "contrib/vim/syntax/fairlead.vim"
BEGIN, END = '.\\" BEGIN directives\n', '.\\" END directives\n'

CONTEXTS = [
    ("top", "Directives of the appliance"),
    ("admin", "Options of admin"),
    ("monitor", "Options of a monitor"),
    ("pool", "Options of a pool"),
    ("service", "Options of a service"),
    ("pool tls", "Options of tls in a pool"),
    ("vserver", "Options of a vserver"),
    ("listen", "Options of listen"),
    ("listen tls", "Options of tls in listen"),
    ("listen distribute", "Options of distribute in listen"),
    ("policy", "Actions of a policy"),
]


def read_table(args):
    if args.table:
        text = pathlib.Path(args.table).read_text(encoding="utf-8")
    else:
        text = subprocess.run([args.fairlead, "-x", "directives"], check=True, capture_output=True,
                              text=True).stdout
    lines = text.splitlines()
    head = lines[0].split("\t")
    return [dict(zip(head, line.split("\t"))) for line in lines[1:]]


def roff(text):
    """Sentences as roff lines of at most 78 bytes, none of which begins like a request."""
    lines = []
    text = text.replace("\\", "\\e").replace("`", "").replace('"', "\\(dq")
    for sentence in re.split(r"(?<=\.) (?=[A-Z])", text):
        lines += textwrap.wrap(sentence, 77, break_long_words=False, break_on_hyphens=False)
    return ["\\&" + line if line[:1] in ".'" else line for line in lines]


def split_alternatives(sig):
    """At the bars outside of enum( )."""
    parts, depth, cur = [], 0, ""
    for c in sig:
        depth += (c == "(") - (c == ")")
        if c == "|" and depth == 0:
            parts.append(cur.strip())
            cur = ""
        else:
            cur += c
    return parts + [cur.strip()]


TOKEN = re.compile(r"\s*(\[|\]|'[^']*'(?:\.\.\.)?|enum\([^)]*\)(?:\.\.\.)?|ref\([^)]*\)(?:\.\.\.)?|[a-z]+(?:\(\d+\))?(?:\.\.\.)?)")


def arguments(sig):
    """One alternative of a signature in mdoc macros."""
    out, pos = [], 0
    while pos < len(sig):
        match = TOKEN.match(sig, pos)
        if not match:
            sys.exit(f"gen.py: cannot read the signature {sig!r}")
        pos = match.end()
        word = match.group(1)
        more = word.endswith("...")
        word = word.removesuffix("...")
        if word == "[":
            out.append("Oo")
        elif word == "]":
            out.append("Oc")
        elif word[0] == "'":
            out.append("Cm " + word[1:-1])
        elif word.startswith("enum("):
            out.append(" | ".join("Cm " + w for w in word[5:-1].split("|")))
        else:
            out.append("Ar " + (word[4:-1] if word.startswith("ref(") else word.split("(")[0]))
        if more:
            out[-1] += " ..."
    return " ".join(out)


def number(row, value):
    """A limit of the table as it would be written."""
    kinds = re.findall(r"\b(time|size|count)\b", row["signature"])
    units = {"time": [("d", 86400000000), ("h", 3600000000), ("m", 60000000), ("s", 1000000), ("ms", 1000), ("us", 1)],
             "size": [("g", 1 << 30), ("m", 1 << 20), ("k", 1 << 10)]}.get(kinds[0] if kinds else "", [])
    for name, of in units:
        if value and value % of == 0:
            return f"{value // of}{name}"
    return str(value) + ("s" if units and kinds[0] == "time" else "")


def entry(row):
    lines = []
    for alt in split_alternatives(row["signature"]):
        lines.append(".It Ic " + row["name"] + (" " + arguments(alt) if alt else ""))
    lines += roff(row["text"])
    flags = row["flags"].split("|")
    notes = []
    if row["default"]:
        notes.append(f"Default: {row['default']}.")
    low, high = int(row["min"]), int(row["max"])
    if low or high:
        notes.append(f"From {number(row, low)} to {number(row, high)}.")
    if "req" in flags:
        notes.append("Must be given.")
    if "list" in flags and row["name"] != "include":
        notes.append("May be repeated" + ("; the order counts." if "order" in flags else "."))
    if row["reload"] == "restart":
        notes.append("Holds until the next start: a reload warns and keeps the old value.")
    for note in notes:
        lines += roff(note)
    return lines


def reference(rows):
    out = []
    for context, title in CONTEXTS:
        out += [f".Ss {title}", ".Bl -tag -width Ds"]
        for row in rows:
            if context in row["contexts"].split("|"):
                out += entry(row)
        out.append(".El")
    known = {name for name, _ in CONTEXTS}
    for row in rows:
        if not set(row["contexts"].split("|")) <= known:
            sys.exit(f"gen.py: unknown context in {row['name']}")
    return "\n".join(out) + "\n"


def manual(rows, old):
    head, rest = old.split(BEGIN)
    tail = rest.split(END)[1]
    return head + BEGIN + reference(rows) + END + tail


def vim(rows):
    names = sorted({r["name"] for r in rows})
    words = sorted({w for r in rows for e in re.findall(r"enum\(([^)]*)\)", r["signature"]) for w in e.split("|")} |
                   {w for r in rows for w in re.findall(r"'([^']*)'", r["signature"])} | {"on", "off"})
    objects = sorted({r["name"] for r in rows if "obj" in r["flags"].split("|")} | {"admin"})
    out = ['" SPDX-License-Identifier: Apache-2.0',
           '" fairlead.vim - syntax of fairlead.conf(5); made by man/gen.py from the directive table',
           'if exists("b:current_syntax")', "  finish", "endif",
           "syn iskeyword @,48-57,_,-,.",
           "syn match fairleadComment /\\%(^\\|[[:space:]{};]\\)\\@1<=#.*$/",
           'syn region fairleadString start=/"/ skip=/\\\\./ end=/"/ oneline contains=fairleadVariable',
           "syn region fairleadString start=/`/ end=/`/",
           "syn match fairleadVariable /\\${[^}]*}/",
           "syn match fairleadNumber /\\<\\d\\+\\%(\\.\\d\\+\\)\\?\\%(us\\|ms\\|[smhdkg]\\|[kmg]bit\\)\\?\\>/"]
    for group, items in (("fairleadValue", words), ("fairleadDirective", [n for n in names if n not in objects]),
                         ("fairleadObject", objects)):
        out += [f"syn keyword {group} {' '.join(items[i:i + 8])}" for i in range(0, len(items), 8)]
    for group, link in (("Comment", "Comment"), ("String", "String"), ("Variable", "Identifier"), ("Number", "Number"),
                        ("Value", "Constant"), ("Directive", "Keyword"), ("Object", "Structure")):
        out.append(f"hi def link fairlead{group} {link}")
    out.append('let b:current_syntax = "fairlead"')
    return "\n".join(out) + "\n"


def check_sample(rows):
    """Names that the sample does not use, be it in a comment."""
    text = SAMPLE.read_text(encoding="utf-8")
    used = set()
    for line in text.splitlines():
        line = re.sub(r'"[^"]*"', '""', line.lstrip().removeprefix("# "))
        used.update(re.split(r"[\s{};]+", line.split(" #")[0]))
    return sorted({r["name"] for r in rows} - used)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--table")
    parser.add_argument("--fairlead", default="fairlead")
    args = parser.parse_args()
    rows = read_table(args)
    failed = False
    for path, text in ((MANUAL, manual(rows, MANUAL.read_text(encoding="utf-8"))), (VIM, vim(rows))):
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        if old == text:
            continue
        if args.check:
            failed = True
            sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), text.splitlines(True), str(path), "table"))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for name in check_sample(rows):
        failed = True
        print(f"{SAMPLE}: the directive {name} is not shown")
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
