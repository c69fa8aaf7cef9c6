#!/usr/bin/env python3
"""Restores an unencrypted dguard backup of format 1 without dguard, from what FORMAT.md says alone.

    recover.py BACKUP_FOLDER TARGET_DIR [--chain FOLDER ...]

Needs Python 3.8 or newer and, for backups of those codecs, the commands zstd (always: the index is
zstd), lz4 and brotli. --chain names the folders of the backups that an incremental one refers to.

Nothing is written whose hash did not hold. What is damaged is named and left out, the rest is restored.
Exit status: 0 all restored; 1 a tool is missing, or the target cannot be written; 2 wrong usage;
3 restored, but something of it could not be set here (owner, attribute, device); 4 damaged bytes.
"""

import argparse
import base64
import bisect
import collections
import hashlib
import json
import os
import re
import stat
import subprocess
import sys
import tempfile
import zlib

MAX_MANIFEST = 1024 * 1024
MAX_BLOCK = 4 * 1024 * 1024
MAX_FRAME = 1024 * 1024
MAX_LINE = 64 * 1024
MAX_REFERENCES = 4096
MAX_LEVEL = 32
HEX = re.compile(r"[0-9a-f]{64}\Z")
ORIGIN = re.compile(r"[a-z2-7]{8}\Z")
ID = re.compile(r"[a-z]{2,20}-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ-[a-z2-7]{8}\Z", re.A)
NAME = re.compile(r"[a-z0-9][a-z0-9._%-]{0,120}\Z")
RESERVED = re.compile(r"manifest\.json\Z|index\.zst\Z|(lease|verified|accepted|pinned|deleting|key)-.*\.json\Z")
CODECS = ("zstd", "gzip", "lz4", "brotli", "deflate", "none")
SECTIONS = ("artifacts", "blocks", "entries")


class Damage(Exception):
    """Bytes of a backup that are not what they must be."""


class Trouble(Exception):
    """This machine's part: a missing tool, a target that cannot be written."""


def need(holds, why):
    if not holds:
        raise Damage(why)


def count(value, what):
    need(type(value) is int and 0 <= value < 2**53, f"{what} is no count")
    return value


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def shown(path):
    return ascii(os.fsdecode(path))


# --- JSON: parsing, and the canonical form of a manifest ---------------------------------------------


class Verbatim(str):
    """A number that is no plain integer, as it stands in the text."""


def refuse_constant(text):
    raise ValueError(text)


def whole_number(text):
    value = int(text)
    return value if abs(value) < 2**53 else Verbatim(text)


def parse_json(text, what):
    try:
        return json.loads(text, parse_float=Verbatim, parse_int=whole_number, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Damage(f"{what} is not JSON: {error}") from error


def key_order(key):
    """UTF-16 code units; keys that look like array indexes come first, by value."""
    if re.match(r"(0|[1-9][0-9]{0,9})\Z", key) and int(key) < 2**32 - 1:
        return (0, int(key), b"")
    return (1, 0, key.encode("utf-16-be", "surrogatepass"))


def canonical(value, indent="\n"):
    deeper = indent + "  "
    if isinstance(value, Verbatim):
        return str(value)
    if isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False)
        return re.sub("[\ud800-\udfff]", lambda m: f"\\u{ord(m[0]):04x}", text)
    if isinstance(value, list) and value:
        return "[" + ",".join(deeper + canonical(item, deeper) for item in value) + indent + "]"
    if isinstance(value, dict) and value:
        members = (f"{deeper}{canonical(k)}: {canonical(value[k], deeper)}" for k in sorted(value, key=key_order))
        return "{" + ",".join(members) + indent + "}"
    return json.dumps(value)


def read_manifest(folder):
    where = os.path.join(folder, "manifest.json")
    try:
        with open(where, "rb") as file:
            data = file.read(MAX_MANIFEST + 1)
    except OSError as error:
        raise Damage(f"{where}: {error.strerror}: what has no manifest is no backup") from error
    need(len(data) <= MAX_MANIFEST, f"{where}: larger than 1 MiB")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Damage(f"{where}: not UTF-8") from error
    manifest = parse_json(text, where)
    need(isinstance(manifest, dict), f"{where}: not an object")
    need(type(manifest.get("format")) is int and manifest["format"] == 1, f"{where}: format {manifest.get('format')!r}; this reads format 1")
    try:
        need(canonical(manifest) + "\n" == text, f"{where}: its bytes are not the canonical form of what they say")
        rest = {key: value for key, value in manifest.items() if key != "integrity"}
        proof = sha256((canonical(rest) + "\n").encode("utf-8"))
    except RecursionError as error:
        raise Damage(f"{where}: nested too deeply") from error
    integrity = manifest.get("integrity")
    need(isinstance(integrity, dict) and integrity.get("sha256") == proof, f"{where}: its integrity hash does not hold")
    need(isinstance(manifest.get("id"), str) and ID.match(manifest["id"]), f"{where}: no proper id")
    return manifest


# --- codecs ------------------------------------------------------------------------------------------


def run_tool(command, data, length):
    """What `command` makes of `data`: exactly `length` bytes, and not one more is read."""
    with tempfile.TemporaryFile() as source:
        source.write(data)
        source.seek(0)
        try:
            tool = subprocess.Popen(command, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        except OSError as error:
            raise Trouble(f"the command {command[0]} is needed: {error.strerror}") from error
        with tool:
            output = tool.stdout.read(length + 1)
            if len(output) > length:
                tool.kill()
    need(len(output) == length and tool.returncode == 0, "cannot be decompressed")
    return output


def inflate(data, length, bits):
    machine = zlib.decompressobj(bits)
    try:
        output = machine.decompress(data, length + 1)
    except zlib.error as error:
        raise Damage("cannot be decompressed") from error
    need(machine.eof and not machine.unused_data, "is not one whole stream")
    return output


def decompress(codec, frames):
    """`frames` is a list of (stored bytes, length). zstd and lz4 frames go to one process together."""
    if codec == "none":
        return [data for data, _ in frames]
    if codec in ("gzip", "deflate"):
        return [inflate(data, length, 31 if codec == "gzip" else 15) for data, length in frames]
    if codec == "brotli":
        return [run_tool(["brotli", "-d", "-c"], data, length) for data, length in frames]
    command = ["zstd", "-d", "-q", "-c"] if codec == "zstd" else ["lz4", "-d", "-q", "-c"]
    joined = run_tool(command, b"".join(data for data, _ in frames), sum(length for _, length in frames))
    outputs, at = [], 0
    for _, length in frames:
        outputs.append(joined[at : at + length])
        at += length
    return outputs


# --- one backup: its objects and its index -----------------------------------------------------------


class Row:
    """One row of the index: where a frame is, and what it holds."""

    def __init__(self, line):
        value = parse_json(line, "an index row")
        need(isinstance(value, dict), "an index row is no object")
        self.section = value.get("section")
        self.origin = value.get("origin")
        self.sha256 = value.get("sha256")
        need(self.section in SECTIONS, "an index row is of no known section")
        need(isinstance(self.origin, str) and ORIGIN.match(self.origin), "an index row names no origin")
        need(isinstance(self.sha256, str) and HEX.match(self.sha256), "an index row has no hash")
        self.level = count(value.get("level"), "a level")
        self.offset = count(value.get("offset"), "an offset")
        self.stored = count(value.get("stored"), "a stored length")
        self.length = count(value.get("length"), "a length")
        self.lines = count(value.get("lines"), "a number of lines")
        need(self.level <= MAX_LEVEL, "the index has too many levels")
        if self.section == "blocks":
            self.key = (count(value.get("artifact"), "an artifact"), count(value.get("block"), "a block"))


class Backup:
    """One backup's folder. `expected_root` is what the backup that refers to it says its root is."""

    def __init__(self, folder, manifest, expected_root=None):
        self.folder, self.manifest = folder, manifest
        self.origin = manifest["id"][-8:]
        if manifest.get("status") == "failed":
            raise Trouble(f"{folder}: this run failed and left no content: {manifest.get('error')}")
        if "encryption" in manifest:
            raise Trouble(f"{folder}: this backup is encrypted; this program reads unencrypted ones")
        compression = manifest.get("compression")
        self.codec = compression.get("codec") if isinstance(compression, dict) else None
        need(self.codec in CODECS, f"{folder}: unknown codec {self.codec!r}")
        self.index = manifest.get("index")
        need(isinstance(self.index, dict) and self.index.get("name") == "index.zst", f"{folder}: no index is named")
        count(self.index.get("size"), "the size of the index")
        root = self.index.get("root")
        need(isinstance(root, dict), f"{folder}: no root is named")
        for field in ("offset", "stored", "length"):
            count(root.get(field), f"the root's {field}")
        if expected_root is not None:
            need(root.get("sha256") == expected_root, f"{folder}: its root is not the one that is referred to")
        place = (root["offset"], root["stored"], root["length"], root.get("sha256"))
        lines = self.frames([place])[0]
        header = parse_json(lines[0] if lines else "", "the first line of the root")
        need(isinstance(header, dict) and header.get("index") == 1, f"{folder}: the root has no proper first line")
        need(header.get("id") == manifest["id"], f"{folder}: the index is of another backup")
        self.entries = count(header.get("entries"), "the number of entries")
        self.rows = [Row(line) for line in lines[1:]]
        self.artifacts = None

    def read(self, name, offset, length):
        try:
            with open(os.path.join(self.folder, name), "rb") as file:
                file.seek(offset)
                data = file.read(length)
        except (OSError, OverflowError) as error:
            raise Damage(f"{self.folder}/{name}: {error}") from error
        need(len(data) == length, f"{self.folder}/{name}: ends early")
        return data

    def frames(self, places):
        """The lines of frames of this index, each frame checked. A place is (offset, stored, length, sha256)."""
        where = f"{self.folder}/index.zst"
        stored = []
        for offset, size, length, _ in places:
            need(offset + size <= self.index["size"], f"{where}: a frame lies outside of it")
            need(length <= MAX_FRAME and size <= 2 * MAX_FRAME, f"{where}: a frame is too large")
            stored.append((self.read("index.zst", offset, size), length))
        try:
            frames = decompress("zstd", stored)
        except Damage as error:
            raise Damage(f"{where}: a frame {error}") from error
        result = []
        for raw, (offset, _, length, expected) in zip(frames, places):
            need(len(raw) == length and sha256(raw) == expected, f"{where}: the hash of the frame at byte {offset} does not hold")
            try:
                lines = raw.decode("utf-8").split("\n")
            except UnicodeDecodeError as error:
                raise Damage(f"{where}: a frame is not UTF-8") from error
            need(lines.pop() == "" and all(len(line) <= MAX_LINE for line in lines), f"{where}: an unfinished or overlong line")
            result.append(lines)
        return result

    def artifact_objects(self, artifact):
        """(name, size, sha256) of the objects that hold an artifact, in order."""
        if "parts" not in artifact:
            return [(artifact["name"], artifact["stored_size"], artifact["sha256"])]
        return [(f"{artifact['name']}.{p['number']:03d}", p["size"], p["sha256"]) for p in artifact["parts"]]

    def read_artifact(self, number, offset, length):
        need(number < len(self.artifacts), f"{self.folder}: there is no artifact {number}")
        artifact = self.artifacts[number]
        need(offset + length <= artifact["stored_size"], f"{self.folder}/{artifact['name']}: a block lies outside of it")
        pieces, start = [], 0
        for name, size, _ in self.artifact_objects(artifact):
            begin, end = max(offset, start), min(offset + length, start + size)
            if begin < end:
                pieces.append(self.read(name, begin - start, end - begin))
            start += size
        return b"".join(pieces)

    def set_artifacts(self, artifacts):
        need(isinstance(artifacts, list), f"{self.folder}: the artifacts are no list")
        names = set()
        for artifact in artifacts:
            need(isinstance(artifact, dict), f"{self.folder}: an artifact is no object")
            name = artifact.get("name")
            good = isinstance(name, str) and NAME.match(name) and not RESERVED.match(name) and name not in names
            need(good, f"{self.folder}: an artifact has the unusable name {name!r}")
            names.add(name)
            size = count(artifact.get("stored_size"), f"the stored size of {name}")
            need(isinstance(artifact.get("sha256"), str), f"{name} has no hash")
            if "parts" in artifact:
                parts = artifact["parts"]
                need(isinstance(parts, list) and parts, f"{name}: its parts are no list")
                for number, part in enumerate(parts, 1):
                    need(isinstance(part, dict) and part.get("number") == number, f"{name}: its parts are not in order")
                    count(part.get("size"), f"the size of a part of {name}")
                    need(isinstance(part.get("sha256"), str), f"a part of {name} has no hash")
                need(sum(part["size"] for part in parts) == size, f"{name}: its parts do not add up")
        self.artifacts = artifacts

    def object_damage(self):
        """What is wrong with the objects of this folder as files: size, hash, SHA256SUMS."""
        objects = [entry for artifact in self.artifacts for entry in self.artifact_objects(artifact)]
        objects.append(("index.zst", self.index["size"], self.index.get("sha256")))
        for name, size, expected in objects:
            digest, found = hashlib.sha256(), 0
            try:
                with open(os.path.join(self.folder, name), "rb") as file:
                    for chunk in iter(lambda: file.read(1024 * 1024), b""):
                        digest.update(chunk)
                        found += len(chunk)
            except OSError as error:
                yield f"{self.folder}/{name}: {error.strerror}"
                continue
            if found != size:
                yield f"{self.folder}/{name}: has {found} bytes, not {size}"
            elif digest.hexdigest() != expected:
                yield f"{self.folder}/{name}: its stored bytes have not the hash that is recorded"
        sums = "".join(f"{expected}  {name}\n" for name, _, expected in objects).encode()
        try:
            with open(os.path.join(self.folder, "SHA256SUMS"), "rb") as file:
                if file.read(len(sums) + 1) != sums:
                    yield f"{self.folder}/SHA256SUMS: does not say what the manifest says"
        except OSError as error:
            yield f"{self.folder}/SHA256SUMS: {error.strerror}"


# --- the chain: a backup and those it refers to ------------------------------------------------------


class Chain:
    def __init__(self, folder, chain_folders):
        manifest = read_manifest(folder)
        self.own = manifest["id"][-8:]
        self.references, self.folders, self.backups = {}, {}, {}
        references = manifest.get("references")
        need(isinstance(references, list) and len(references) <= MAX_REFERENCES, f"{folder}: its references are no list")
        for reference in references:
            fine = isinstance(reference, dict) and isinstance(reference.get("id"), str) and ID.match(reference["id"])
            need(fine and isinstance(reference.get("root_sha256"), str), f"{folder}: a reference is not well-formed")
            origin = reference["id"][-8:]
            need(origin != self.own and origin not in self.references, f"{folder}: the origin {origin} is ambiguous")
            self.references[origin] = (reference["id"], reference["root_sha256"])
        for other in chain_folders:
            found = read_manifest(other)
            self.folders[found["id"]] = (other, found)
        self.frame_cache = collections.OrderedDict()
        self.block_cache = collections.OrderedDict()
        self.bad_blocks = {}
        self.expected_next, self.ahead = None, 1
        self.backups[self.own] = self.opened(Backup(folder, manifest))

    def backup(self, origin):
        if origin not in self.backups:
            need(origin in self.references, f"the index refers to {origin}, which the manifest does not name")
            backup_id, root = self.references[origin]
            need(backup_id in self.folders, f"the backup {backup_id}, which this one needs, is missing: name its folder with --chain")
            self.backups[origin] = self.opened(Backup(*self.folders[backup_id], expected_root=root))
        return self.backups[origin]

    def opened(self, backup):
        """Fills in the table of artifacts, which may lie in the index."""
        table = backup.manifest.get("artifacts")
        if not isinstance(table, dict):
            backup.set_artifacts(table)
            return backup
        self.backups[backup.origin] = backup  # its own frames are read while it is being opened
        most = count(table.get("count"), "a number of artifacts") + count(table.get("objects"), "a number of objects")
        lines = []
        for _, frame in self.walk(backup, "artifacts"):
            lines.extend(frame)
            need(len(lines) <= most, f"{backup.folder}: the table of artifacts is longer than it says")
        need(sha256("".join(line + "\n" for line in lines).encode()) == table.get("sha256"), f"{backup.folder}: the table of artifacts is another one")
        artifacts = []
        for line in lines:
            value = parse_json(line, "an artifact's line")
            need(isinstance(value, dict), "an artifact's line is no object")
            number = value.pop("artifact", None)
            if "part" in value:
                need(artifacts and number == len(artifacts) - 1, "a part is of no artifact")
                artifacts[-1].setdefault("parts", []).append(value["part"])
            else:
                need(number == len(artifacts), "the artifacts are not in order")
                if "parts" in value:
                    value["parts"] = []
                artifacts.append(value)
        backup.set_artifacts(artifacts)
        return backup

    def read_rows(self, rows):
        """The lines of the frames that `rows` name, whoever's index holds them."""
        missing = [row for row in rows if row.sha256 not in self.frame_cache]
        for origin in dict.fromkeys(row.origin for row in missing):
            mine = [row for row in missing if row.origin == origin]
            places = [(row.offset, row.stored, row.length, row.sha256) for row in mine]
            for row, lines in zip(mine, self.backup(origin).frames(places)):
                self.frame_cache[row.sha256] = lines
        result = [self.frame_cache[row.sha256] for row in rows]
        # Rows may repeat a frame: one without lines would be walked for ever.
        fits = all(lines and len(lines) == row.lines for row, lines in zip(rows, result))
        need(fits, "a frame of the index has not as many lines as its row says")
        while len(self.frame_cache) > 256:
            self.frame_cache.popitem(last=False)
        return result

    def walk(self, backup, section, rows=None):
        """(row, lines) of every lowest frame of a section, in order."""
        rows = [row for row in backup.rows if row.section == section] if rows is None else rows
        for start in range(0, len(rows), 64):
            batch = rows[start : start + 64]
            for row, lines in zip(batch, self.read_rows(batch)):
                if row.level == 0:
                    yield row, lines
                    continue
                below = [Row(line) for line in lines]
                fits = all(child.section == section and child.level == row.level - 1 for child in below)
                need(fits, f"{backup.folder}/index.zst: the levels do not fit")
                yield from self.walk(backup, section, below)

    def block_lines(self, origin, artifact, block, most):
        """Up to `most` block lines from this one on: [(offset, stored, length, name)]."""
        backup = self.backup(origin)
        why = f"{backup.folder}/index.zst: there is no block {block} in artifact {artifact}"
        rows = [row for row in backup.rows if row.section == "blocks"]
        while True:
            at = bisect.bisect_right([row.key for row in rows], (artifact, block)) - 1
            need(at >= 0, why)
            row = rows[at]
            lines = self.read_rows([row])[0]
            if row.level == 0:
                break
            rows = [Row(line) for line in lines]
            need(all(child.section == "blocks" and child.level == row.level - 1 for child in rows), why)
        first = block - row.key[1]
        need(row.key[0] == artifact and first < len(lines), why)
        found = []
        for line in lines[first : first + most]:
            value = parse_json(line, "a block line")
            need(isinstance(value, list) and len(value) == 4, "a block line is not well-formed")
            offset, stored, length = (count(number, "a number of a block line") for number in value[:3])
            need(length <= MAX_BLOCK and stored <= 2 * MAX_BLOCK, "a block is too large")
            need(isinstance(value[3], str) and HEX.match(value[3]), "a block has no name")
            found.append((offset, stored, length, value[3]))
        return found

    def block(self, origin, artifact, block):
        """The bytes of a block, proven by its name. Runs of blocks are decoded ahead together."""
        key = (origin, artifact, block)
        if key in self.block_cache:
            self.block_cache.move_to_end(key)
            return self.block_cache[key]
        if key in self.bad_blocks:
            raise Damage(self.bad_blocks[key])
        self.ahead = min(self.ahead * 2, 16) if key == self.expected_next else 1
        lines = self.block_lines(origin, artifact, block, self.ahead)
        try:
            try:
                blocks = self.decode(origin, artifact, lines)
            except Damage:
                if len(lines) == 1:
                    raise
                blocks = self.decode(origin, artifact, lines[:1])  # one behind it may be the bad one
        except Damage as error:
            self.bad_blocks[key] = str(error)
            raise
        self.expected_next = (origin, artifact, block + len(blocks))
        for number, data in enumerate(blocks, block):
            self.block_cache[(origin, artifact, number)] = data
        while len(self.block_cache) > 32:
            self.block_cache.popitem(last=False)
        return blocks[0]

    def decode(self, origin, artifact, lines):
        backup = self.backup(origin)
        stored = [(backup.read_artifact(artifact, offset, size), length) for offset, size, length, _ in lines]
        where = f"{backup.folder}/{backup.artifacts[artifact]['name']}: the block at byte {lines[0][0]}"
        try:
            blocks = decompress(backup.codec, stored)
        except Damage as error:
            raise Damage(f"{where} {error}") from error
        for data, (_, _, length, name) in zip(blocks, lines):
            need(len(data) == length and sha256(data) == name, f"{where} has not the hash that is its name")
        return blocks

    def content(self, slices):
        for origin, artifact, block, offset, length in slices:
            while length > 0:
                data = self.block(origin, artifact, block)
                need(offset < len(data), "a slice begins behind the end of its block")
                piece = data[offset : offset + length]
                yield piece
                length -= len(piece)
                offset, block = 0, block + 1

    def index_entries(self):
        """All entries as (path, fields, slices), continuation lines put together, the order checked."""
        own = self.backup(self.own)
        where = f"{own.folder}/index.zst"
        current, seen, previous = None, 0, None
        for _, lines in self.walk(own, "entries"):
            for line in lines:
                fields = parse_json(line, "an entry line")
                need(isinstance(fields, dict), f"{where}: an entry line is no object")
                path = byte_string(fields, "path")
                need(path is not None, f"{where}: an entry has no path")
                slices = parse_slices(fields.get("at", []), where)
                if "from" in fields:
                    fits = current is not None and current[0] == path and current[1].get("kind") != "table"
                    need(fits and sum(s[4] for s in current[2]) == fields["from"], f"{where}: a line continues nothing")
                    current[2].extend(slices)
                    continue
                if current:
                    yield current
                order = path.replace(b"/", b"\0")
                need(b"\0" not in path and (previous is None or previous < order), f"{where}: not in order, or a path twice")
                previous, current = order, (path, fields, slices)
                seen += 1
        if current:
            yield current
        need(seen == own.entries, f"{where}: has {seen} entries, not {own.entries}")


def byte_string(fields, name):
    value, coded = fields.get(name), fields.get(name + "_b64")
    try:
        if isinstance(value, str):
            return value.encode("utf-8")
        return base64.b64decode(coded, validate=True) if isinstance(coded, str) else None
    except ValueError as error:
        raise Damage(f"the field {name} is not well-formed") from error


def parse_slices(value, where):
    need(isinstance(value, list) and len(value) <= 256, f"{where}: slices are no list of at most 256")
    for item in value:
        need(isinstance(item, list) and len(item) == 5, f"{where}: a slice is not well-formed")
        need(isinstance(item[0], str) and ORIGIN.match(item[0]), f"{where}: a slice names no origin")
        for number in item[1:]:
            count(number, "a number of a slice")
        need(item[4] > 0, f"{where}: a slice is empty")
    return list(value)


# --- the target --------------------------------------------------------------------------------------


class Target:
    """A new folder. Nothing is written outside of it, and never through a link."""

    def __init__(self, folder, note):
        self.root, self.note = os.fsencode(os.path.abspath(folder)), note
        try:
            os.makedirs(self.root, 0o700, exist_ok=True)
            empty = not os.listdir(self.root)
        except OSError as error:
            raise Trouble(f"{folder}: {error.strerror}") from error
        if not empty:
            raise Trouble(f"{folder}: not empty; name a folder that is not there yet")
        self.folders, self.files = {b""}, set()
        self.late_folders, self.late_links = [], []

    def place(self, path):
        """Where `path` goes. Its folders are made; all of them are folders that were made here."""
        parts = path.split(b"/")
        safe = len(path) <= 4095 and b"\0" not in path and all(p not in (b"", b".", b"..") and len(p) <= 255 for p in parts)
        need(safe, f"{shown(path)} is no path that may be written")
        for depth in range(1, len(parts)):
            self.folder(b"/".join(parts[:depth]))
        return os.path.join(self.root, path)

    def folder(self, path):
        if path in self.folders:
            return
        try:
            os.mkdir(os.path.join(self.root, path), 0o700)
        except FileExistsError as error:
            raise Damage(f"{shown(path)} is a folder and something else") from error
        self.folders.add(path)

    def add(self, path, fields, slices, chain):
        kind = fields.get("kind")
        if kind == "table":
            return
        if kind == "stream" or kind == "file":
            self.file(path, fields, slices, chain)
            return
        need(not slices, f"{shown(path)} has content, but is no file")
        if kind == "directory":
            if path != b"":
                self.place(path)
                self.folder(path)
            self.late_folders.append((path, fields))
            return
        place = self.place(path)
        link = byte_string(fields, "link")
        mode = count(fields.get("mode"), "a mode") & 0o7777
        try:
            if kind == "symlink":
                need(link and b"\0" not in link, f"{shown(path)} has no link target")
                os.symlink(link, place)
            elif kind == "hardlink":
                need(link, f"{shown(path)} has no link target")
                self.late_links.append((path, place, link))
                return
            elif kind == "fifo":
                os.mkfifo(place, 0o600)
            elif kind in ("char_device", "block_device"):
                device = fields.get("device")
                need(isinstance(device, list) and len(device) == 2, f"{shown(path)} has no device numbers")
                numbers = os.makedev(count(device[0], "a major number"), count(device[1], "a minor number"))
                os.mknod(place, 0o600 | (stat.S_IFCHR if kind == "char_device" else stat.S_IFBLK), numbers)
            elif kind == "socket":
                print(f"note: {shown(path)} is a socket: its server makes it anew", file=sys.stderr)
                return
            else:
                raise Damage(f"{shown(path)} is of the unknown kind {kind!r}")
        except FileExistsError as error:
            raise Damage(f"{shown(path)} is there twice") from error
        except PermissionError as error:
            self.note(f"{shown(path)}: the {kind} cannot be made: {error.strerror}")
            return
        self.files.add(path)
        self.attributes(place, path, fields, mode, kind == "symlink")

    def file(self, path, fields, slices, chain):
        size = count(fields.get("size"), "a size")
        need(sum(s[4] for s in slices) == size, f"{shown(path)} has not the length of its slices")
        place = self.place(path)
        try:
            handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
        except FileExistsError as error:
            raise Damage(f"{shown(path)} is there twice") from error
        digest = hashlib.sha256()
        try:
            with open(handle, "wb") as file:
                for piece in chain.content(slices):
                    digest.update(piece)
                    write(file, piece, fields.get("sparse") is True)
                file.truncate(size)
            recorded = fields.get("sha256")
            need(recorded is None or recorded == digest.hexdigest(), f"{shown(path)} has not the hash that is recorded")
        except BaseException:
            os.unlink(place)
            raise
        self.files.add(path)
        if fields.get("kind") == "file":
            self.attributes(place, path, fields, count(fields.get("mode"), "a mode") & 0o7777)

    def attributes(self, place, path, fields, mode, link=False):
        """Owner first (it clears set-id bits), then attributes, mode, times."""

        def attempt(what, step, *arguments, **named):
            try:
                step(*arguments, **named)
            except (OSError, OverflowError, NotImplementedError) as error:
                self.note(f"{shown(path)}: {what} cannot be set: {error}")

        if os.geteuid() == 0:
            attempt("its owner", os.lchown, place, count(fields.get("uid"), "a uid"), count(fields.get("gid"), "a gid"))
        xattrs = fields.get("xattrs", [])
        need(isinstance(xattrs, list), f"{shown(path)}: its attributes are no list")
        for pair in xattrs:
            need(isinstance(pair, list) and len(pair) == 2, f"{shown(path)}: an attribute is not well-formed")
            name, value = (byte_string({"x_b64": coded}, "x") for coded in pair)
            need(name and b"\0" not in name and value is not None, f"{shown(path)}: an attribute is not well-formed")
            if hasattr(os, "setxattr"):
                attempt(f"the attribute {shown(name)}", os.setxattr, place, name, value, follow_symlinks=False)
            else:
                self.note(f"{shown(path)}: attributes cannot be set on this system")
        if not link:
            attempt("its mode", os.chmod, place, mode)
        mtime = fields.get("mtime")
        need(isinstance(mtime, str) and re.match(r"-?\d{1,30}\Z", mtime, re.A), f"{shown(path)}: mtime is no number")
        attempt("its time", os.utime, place, ns=(int(mtime), int(mtime)), follow_symlinks=False)

    def finish(self, damaged):
        for path, place, link in self.late_links:
            if link not in self.files:
                damaged(f"{shown(path)}: the file that it is another name of, {shown(link)}, was not restored")
                continue
            try:
                os.link(os.path.join(self.root, link), place, follow_symlinks=False)
            except FileExistsError:
                damaged(f"{shown(path)} is there twice")
        for path, fields in reversed(self.late_folders):
            place = os.path.join(self.root, path) if path else self.root
            self.attributes(place, path, fields, count(fields.get("mode"), "a mode") & 0o7777)


def write(file, piece, sparse):
    if not sparse:
        file.write(piece)
        return
    for at in range(0, len(piece), 4096):
        page = piece[at : at + 4096]
        if page.count(0) == len(page):
            file.seek(len(page), os.SEEK_CUR)
        else:
            file.write(page)


def main():
    parser = argparse.ArgumentParser(description="Restores an unencrypted dguard backup of format 1 without dguard.")
    parser.add_argument("backup_folder", help="the folder that holds manifest.json")
    parser.add_argument("target_dir", help="a folder that is not there yet, or empty")
    parser.add_argument("--chain", metavar="FOLDER", nargs="+", action="extend", default=[], help="folders of the backups that this one refers to")
    options = parser.parse_args()
    problems, notes = [], []

    def damaged(message):
        problems.append(message)
        print(f"damaged: {message}", file=sys.stderr)

    def note(message):
        notes.append(message)
        print(f"note: {message}", file=sys.stderr)

    restored = 0
    try:
        chain = Chain(options.backup_folder, options.chain)
        for message in chain.backup(chain.own).object_damage():
            damaged(message)
        target = Target(options.target_dir, note)
        for path, fields, slices in chain.index_entries():
            try:
                target.add(path, fields, slices, chain)
                restored += 1
            except Damage as error:
                damaged(f"{shown(path)} is not restored: {error}")
        target.finish(damaged)
    except Damage as error:
        damaged(str(error))
    except Trouble as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{restored} entries restored, {len(problems)} problems", file=sys.stderr)
    return 4 if problems else 3 if notes else 0


if __name__ == "__main__":
    sys.exit(main())
