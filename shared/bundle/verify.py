#!/usr/bin/env python3
"""Checks a bundle of Plant's ledger, offline: signature, integrity, completeness, freshness.

    python3 verify.py bundle.zip --trust root.pem --origin ORIGIN
        [--scope SCOPE] [--max-age HOURS] [--now TIME] [--seen CHECKPOINT] [--json]
    python3 verify.py --many LIST     a JSON object of these options a line, a JSON answer a line

Python 3.8 or newer, its standard library, nothing else: it shares no code with
plant-verify. The format, and every reason given here, is described in two pages,
shared/bundle/FORMAT.md and shared/ledger/FORMAT.md. It has no rules: of the rule
results it checks that each is of the newest version of an entity that is there.

Exit code 0: all four verdicts pass; 1: one fails; 2: not a bundle, or not understood.
"""
import argparse
import base64
import binascii
import datetime
import hashlib
import json
import os
import re
import stat
import sys
import zipfile
import zlib

MAX_INTEGER = 2**53 - 1
MAX_LINE = 2 << 20
LIMITS = {"manifest.json": 64 << 10, "checkpoint": 64 << 10, "heads.json": 64 << 20,
          "keys.jsonl": 64 << 20, "amendments.jsonl": 4 << 30, "compliance.json": 1 << 30}
ZERO = "0" * 64


class NotBundle(Exception):
    """What was given cannot be judged."""


class Refused(Exception):
    """A JSON text that a strict reader does not accept."""


class Fault(Exception):
    """One thing that is wrong; its argument is the reason."""

    @property
    def reason(self):
        return self.args[0]


def sha256(data):
    return hashlib.sha256(data).digest()


def hexhash(data):
    return hashlib.sha256(data).hexdigest()


# --- JSON, strictly (ledger format, section 1) -------------------------------------------

STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


def integer(literal):
    if literal == "-0" or len(literal) > 17 or abs(int(literal)) > MAX_INTEGER:
        raise Refused("number")
    return int(literal)


def decimal(literal):
    mantissa, _, exponent = literal.lstrip("-").lower().partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    power = len(whole) - 1 - (len(whole + fraction) - len(digits)) + int(exponent[:12] or 0)
    digits = digits.rstrip("0")
    if not digits:
        if literal[0] == "-":
            raise Refused("number")
        return 0.0
    if len(digits) > 15 or power < -300 or power > 20 or abs(float(literal)) > MAX_INTEGER:
        raise Refused("number")
    return float(literal)


def refuse_constant(_):
    raise Refused("syntax")


def members(pairs):
    out = dict(pairs)
    if len(out) != len(pairs):
        raise Refused("duplicate_key")
    return out


STRICT = json.JSONDecoder(object_pairs_hook=members, parse_int=integer, parse_float=decimal, parse_constant=refuse_constant)
LOOSE = json.JSONDecoder(object_pairs_hook=members, parse_int=lambda s: int(s) if len(s) < 20 else 0.5,
                         parse_float=lambda s: 0.5, parse_constant=refuse_constant)


def any_of(value, wrong):
    """Whether wrong holds for a name or a value at any depth."""
    if wrong(value):
        return True
    if isinstance(value, dict):
        return any(any_of(k, wrong) or any_of(v, wrong) for k, v in value.items())
    return isinstance(value, list) and any(any_of(v, wrong) for v in value)


def surrogate(value):
    return isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value)


def parse(data, null=True, decoder=STRICT):
    """Reads one JSON text, or raises Refused."""
    try:
        text = data.decode("utf-8")
        depth = deepest = 0
        for c in STRING.sub("", text):
            if c in "[{":
                depth += 1
                deepest = max(deepest, depth)
            elif c in "]}":
                depth -= 1
        if deepest > 32 and decoder is STRICT:
            raise Refused("depth")
        value = decoder.decode(text)
    except (ValueError, RecursionError) as e:
        raise Refused(str(e))
    if "\\u" in text and any_of(value, surrogate):
        raise Refused("surrogate")
    if not null and "null" in text and any_of(value, lambda v: v is None):
        raise Refused("null")
    return value


def number(value):
    """A number as ECMAScript writes it."""
    if type(value) is int or value == int(value):
        return str(int(value))
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    point = len(whole) + int(exponent or 0)
    digits = whole + fraction
    point -= len(digits) - len(digits.lstrip("0"))
    digits = digits.strip("0")
    if 0 < point < len(digits):
        out = digits[:point] + "." + digits[point:]
    elif -6 < point <= 0:
        out = "0." + "0" * -point + digits
    else:
        out = digits[0] + ("." + digits[1:] if digits[1:] else "") + "e" + ("%+d" % (point - 1))
    return ("-" if value < 0 else "") + out


def canonical(value):
    """RFC 8785."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda s: s.encode("utf-16-be"))
        return "{" + ",".join(canonical(n) + ":" + canonical(value[n]) for n in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(canonical(v) for v in value) + "]"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return number(value)
    return json.dumps(value, ensure_ascii=False)


def is_canonical(data):
    try:
        return canonical(parse(data)).encode("utf-8") == data
    except Refused:
        return False


def is_int(value, low=0):
    return type(value) is int and low <= value <= MAX_INTEGER


HEX64 = re.compile(r"[0-9a-f]{64}\Z")
SLUG = re.compile(r"[a-z0-9-]{1,63}\Z")
UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")
TIME = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})\.[0-9]{6}Z\Z")
SPACE = re.compile("[\x00-\x20\x7f-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")
NOTE_SPACE = re.compile("[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000+]")


def is_hash(value):
    return isinstance(value, str) and HEX64.match(value) is not None


def is_time(value):
    m = isinstance(value, str) and TIME.match(value)
    if not m:
        return False
    year, month, day, hour, minute, second = map(int, m.groups())
    try:
        datetime.datetime(year or 400, month, day, hour, minute, second)
    except ValueError:
        return False
    return True


def unbase64(text):
    """Base64 in its one form, or None."""
    try:
        data = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return None
    return data if base64.b64encode(data).decode() == text else None


# --- Signatures --------------------------------------------------------------------------

def verify_pss(key, message, signature):
    """RSASSA-PSS of RFC 8017: 4096 bits, SHA-256, MGF1 with SHA-256, a salt of 32 bytes."""
    n, e = key
    s = int.from_bytes(signature, "big")
    if len(signature) != 512 or s >= n:
        return False
    em = pow(s, e, n).to_bytes(512, "big")
    masked, h = em[:479], em[479:511]
    if em[511] != 0xBC or masked[0] & 0x80:
        return False
    mask = b"".join(sha256(h + i.to_bytes(4, "big")) for i in range(15))[:479]
    db = bytes(a ^ b for a, b in zip(masked, mask))
    db = bytes([db[0] & 0x7F]) + db[1:]
    return db[:446] == bytes(446) and db[446] == 1 and sha256(bytes(8) + sha256(message) + db[447:]) == h


P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def recover(data):
    """A point of Ed25519 in extended coordinates, or None."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, (y & (2**255 - 1)) % P
    xx = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(xx, (P + 3) // 8, P)
    if (x * x - xx) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - xx) % P:
        return None
    if x & 1 != sign:
        x = (P - x) % P
    return x, y, 1, x * y % P


def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(n, p):
    q = (0, 1, 1, 0)
    while n:
        if n & 1:
            q = add(q, p)
        p, n = add(p, p), n >> 1
    return q


BASE = recover((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def verify_ed25519(public, message, signature):
    """RFC 8032, section 5.1.7, without the cofactor."""
    a = recover(public)
    if a is None or len(signature) != 64:
        return False
    s = int.from_bytes(signature[32:], "little")
    if s >= L:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    x, y, z, _ = add(times(s, BASE), times(k, (P - a[0], a[1], 1, P - a[3])))
    inverse = pow(z, P - 2, P)
    x, y = x * inverse % P, y * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little") == signature[:32]


def der(tag, body):
    size = len(body)
    length = bytes([size]) if size < 128 else (lambda b: bytes([128 + len(b)]) + b)(size.to_bytes((size.bit_length() + 7) // 8, "big"))
    return bytes([tag]) + length + body


RSA = bytes.fromhex("300d06092a864886f70d0101010500")
ED25519 = bytes.fromhex("302a300506032b6570032100")


def read_spki(data):
    """("rsa", (n, e)) or ("ed25519", 32 bytes); raises ValueError for what is not written in its one form."""
    if len(data) == 44 and data.startswith(ED25519):
        return "ed25519", data[12:]
    at = data.find(b"\x02\x82", 20)  # the modulus, of a length of two bytes
    if at < 0:
        raise ValueError("another key")
    size = int.from_bytes(data[at + 2:at + 4], "big")
    n = int.from_bytes(data[at + 4:at + 4 + size], "big")
    rest = data[at + 4 + size:]
    if len(rest) < 3 or rest[0] != 2 or len(rest) != 2 + rest[1]:
        raise ValueError("another key")
    numbers = [n, int.from_bytes(rest[2:], "big")]
    if not 0 < numbers[1] < 2**31 or n <= 0:
        raise ValueError("another key")
    body = der(0x30, b"".join(der(2, v.to_bytes(v.bit_length() // 8 + 1, "big")) for v in numbers))
    if der(0x30, RSA + der(3, b"\0" + body)) != data:
        raise ValueError("another key")
    return "rsa", tuple(numbers)


def pem(spki):
    text = base64.b64encode(spki).decode()
    lines = [text[i:i + 64] for i in range(0, len(text), 64)]
    return ("-----BEGIN PUBLIC KEY-----\n" + "\n".join(lines) + "\n-----END PUBLIC KEY-----\n").encode()


# --- The tree (RFC 6962, section 2.1) ----------------------------------------------------

def leaf_of(data):
    return sha256(b"\x00" + data)


def node(left, right):
    return sha256(b"\x01" + left + right)


def split(n):
    return 1 << (n - 1).bit_length() - 1


def root_of(leaves):
    peaks = []
    for i, leaf in enumerate(leaves):
        peaks.append(leaf)
        while i & 1:
            right = peaks.pop()
            peaks[-1] = node(peaks[-1], right)
            i >>= 1
    if not peaks:
        return sha256(b"")
    root = peaks.pop()
    while peaks:
        root = node(peaks.pop(), root)
    return root


def included(path, size, root, index, leaf):
    """Whether the path leads from the leaf to the root and is used up exactly."""
    if not 0 <= index < size:
        return False
    sides, low, high = [], 0, size
    while high - low > 1:
        middle = low + split(high - low)
        sides.append(index >= middle)
        low, high = (middle, high) if index >= middle else (low, middle)
    if len(sides) != len(path):
        return False
    for right, sibling in zip(reversed(sides), path):
        leaf = node(sibling, leaf) if right else node(leaf, sibling)
    return leaf == root


def consistent(path, size, root, older, older_root):
    """Whether the path shows the older tree to be a prefix of the larger one."""
    def both(path, low, high):
        if older == high:
            if low == 0 and not path:
                return older_root, older_root
            return (path[0], path[0]) if low and len(path) == 1 else None
        if not path:
            return None
        middle = low + split(high - low)
        below = both(path[:-1], low, middle) if older <= middle else both(path[:-1], middle, high)
        if below is None:
            return None
        if older <= middle:
            return below[0], node(below[1], path[-1])
        return node(path[-1], below[0]), node(path[-1], below[1])
    return 1 <= older <= size and both(path, 0, size) == (older_root, root)


# --- Records (ledger format, sections 2 to 7) --------------------------------------------

KINDS = ["skill", "job_role", "team", "agent", "industry"]
CHANGES = {}  # (change, type) -> (stands at seq 1 and only there, use of the key)
for change, types, first, use in [
        ("created", KINDS, True, "amendment"), ("proposed", ["constitution"], True, "amendment"),
        ("introduced", ["signing_key"], True, "root")]:
    CHANGES.update({(change, t): (first, use) for t in types})
for changes, types, use in [
        ("evolved embedded moved assigned drifted", KINDS, "amendment"),
        ("certified rejected decertified reaffirmed", KINDS, "certification"),
        ("judged enacted", ["constitution"], "amendment"),
        ("reattested erased", KINDS + ["constitution"], "amendment"),
        ("retired revoked reattested", ["signing_key"], "root")]:
    CHANGES.update({(change, t): (False, use) for change in changes.split() for t in types})
CHANGE_NAMES = {change for change, _ in CHANGES}
TYPES = {t for _, t in CHANGES}
DIRECT, BATCH = "RSA4096-PSS-SHA256", "RSA4096-PSS-SHA256-BATCH"


def is_text(value):
    return isinstance(value, str)


def is_author(value):
    slug, _, name = value.partition("/") if is_text(value) else ("", "", "")
    return bool(SLUG.match(slug) and name and "/" not in name and not SPACE.search(name))


RECORD = {
    "algorithm": is_text, "author": is_author, "breaking": lambda v: isinstance(v, bool),
    "change": lambda v: is_text(v) and v in CHANGE_NAMES, "constitution": is_hash, "context": is_text,
    "entity_id": lambda v: is_text(v) and UUID7.match(v) is not None, "entity_type": lambda v: is_text(v) and v in TYPES,
    "governance_agent_id": lambda v: is_text(v) and SLUG.match(v) is not None, "key_id": is_hash, "origin": is_text,
    "prev_hash": is_hash, "recorded_at": is_time, "seq": lambda v: is_int(v, 1), "state_hash": is_hash,
}
STATEMENT = {"context": is_text, "key_id": is_hash, "origin": is_text, "recorded_at": is_time, "root": is_hash, "size": is_int}
HEADS = {"algorithm": is_text, "context": is_text, "entities": is_int, "key_id": is_hash, "log_size": is_int,
         "origin": is_text, "recorded_at": is_time, "root": is_hash, "tenants": is_int}


FORK = {"algorithm": is_text, "context": is_text, "from_origin": is_text, "good_root": is_hash, "good_size": is_int, "key_id": is_text,
        "lost_number": lambda v: is_int(v, 1), "lost_root": is_hash, "lost_size": is_int, "origin": is_text, "recorded_at": is_time}


def is_origin(text):
    return text != "" and not SPACE.search(text) and "+" not in text


def read_fork(data):
    """A fork's statement in canonical form, or None."""
    f = read_object(data, FORK, null=False)
    if f is None or not is_canonical(data) or f["context"] != "plant/fork/v1" or f["algorithm"] != DIRECT:
        return None
    sound = is_origin(f["origin"]) and is_origin(f["from_origin"]) and f["origin"] != f["from_origin"] and f["good_size"] <= f["lost_size"]
    return f if sound else None


def read_object(data, forms, null=True):
    """An object of exactly these members, or None."""
    try:
        value = parse(data, null)
    except Refused:
        return None
    if not isinstance(value, dict) or value.keys() != forms.keys():
        return None
    return value if all(form(value[name]) for name, form in forms.items()) else None


def state_hash(salt, state):
    return hexhash(b"plant/state/v1\n" + salt + state)


def good_state(data):
    """Whether a state is as section 2 says."""
    try:
        state = parse(data)
    except Refused:
        return False
    if not isinstance(state, dict) or canonical(state).encode() != data:
        return False
    for name, value in state.items():
        if value is None or value == "" or value == [] or value == {}:
            return False
        if name == "custom_attributes" and (not isinstance(value, dict) or any_of(value, lambda v: v is None)):
            return False
        if name in ("tags", "required_skills", "may_sign"):
            if not isinstance(value, list) or not all(is_text(v) for v in value):
                return False
            raw = [v.encode() for v in value]
            if any(a >= b for a, b in zip(raw, raw[1:])):
                return False
    return True


class Line:
    """A line of amendments.jsonl or keys.jsonl."""

    def __init__(self, file, number, data, text):
        self.file, self.number, self.at = file, number, text["log_index"]
        self.record_bytes = text["record"].encode()
        self.hash = sha256(self.record_bytes)
        self.record = read_object(self.record_bytes, RECORD)
        self.signature, self.batch = text["signature"], text.get("batch")
        opening = text.get("opening")
        self.opening = opening and (bytes.fromhex(opening["salt"]), opening["state"].encode())
        self.inclusion = [bytes.fromhex(h) for h in text["inclusion"]]
        self.is_key = self.record is not None and self.record["entity_type"] == "signing_key"

    @property
    def place(self):
        return (1, self.at, self.file, self.number)

    def opens(self):
        return self.opening is not None and state_hash(*self.opening) == self.record["state_hash"]

    def loose_state(self):
        """The members of the state that the record commits to; none if they cannot be read."""
        if not self.opens():
            return {}
        try:
            state = parse(self.opening[1], decoder=LOOSE)
        except Refused:
            return {}
        return state if isinstance(state, dict) else {}

    def lists(self):
        state = self.loose_state()
        seqs, hashes = state.get("erased_seqs") or [], state.get("reattests") or []
        ok = isinstance(seqs, list) and isinstance(hashes, list) and all(type(s) is int for s in seqs) and all(map(is_hash, hashes))
        return (seqs, hashes) if ok else ([], [])


# --- Keys (ledger format, section 8) -----------------------------------------------------

class Keyring:
    def __init__(self, origin, root, lines, earlier=()):
        self.origin, self.root, self.earlier = origin, root, earlier
        self.keys, self.chains, self.rooted = {}, {}, False
        self.positions, self.reattestations, self.lifted = {}, [], set()
        self.proven = {}
        self.faults = {}
        signers = {}
        for line in sorted(lines, key=lambda l: l.at):
            try:
                signers[id(line)] = self.log(line)
            except Fault as f:
                self.faults[id(line)] = f.reason
        for line in lines:
            if id(line) not in self.faults and self.voids(signers[id(line)], line.at, line.hash):
                self.faults[id(line)] = "key_revoked"

    def origin_at(self, at):
        """What an entry at a log index names: before a fork, the origin that it began anew."""
        return next((origin for origin, below in self.earlier if at < below), self.origin)

    def log(self, line):
        r = self.open(line)
        state = self.key_state(line)
        if line.at == 0:
            self.plant(r, state)
        try:
            self.check_signed(line, r)
            if state is None:
                raise Fault("key_malformed")
            self.apply(line, r, state)
        finally:
            if line.at == 0 and not self.rooted:
                self.keys.pop(self.root, None)
        return r["key_id"]

    @staticmethod
    def key_state(line):
        if not line.opens():
            return None
        s = line.loose_state()
        forms = [("key_id", ""), ("spki", ""), ("use", "")]
        out = {name: s.get(name) if s.get(name) is not None else empty for name, empty in forms}
        out["may_sign"], out["reattests"], out["invalid_from"] = s.get("may_sign") or [], s.get("reattests") or [], s.get("invalid_from")
        ok = s and all(is_text(out[name]) for name, _ in forms) and isinstance(out["may_sign"], list) and all(map(is_text, out["may_sign"])) \
            and isinstance(out["reattests"], list) and all(map(is_hash, out["reattests"])) \
            and (out["invalid_from"] is None or type(out["invalid_from"]) is int)
        return out if ok else None

    @staticmethod
    def make_key(state):
        spki = unbase64(state["spki"])
        try:
            kind, public = read_spki(spki)
        except (ValueError, TypeError):
            raise Fault("key_malformed")
        fits = kind == "ed25519" if state["use"] == "checkpoint" else \
            kind == "rsa" and public[0].bit_length() == 4096 and state["use"] in ("root", "amendment", "certification", "heads")
        if hexhash(spki) != state["key_id"] or not fits:
            raise Fault("key_malformed")
        return {"id": state["key_id"], "spki": spki, "kind": kind, "public": public, "use": state["use"],
                "may_sign": state["may_sign"], "introduced": 0, "retired": None, "invalid_from": None, "introduction": b"", "introducer": ""}

    def plant(self, r, state):
        if state is None or self.rooted or r["change"] != "introduced" or r["key_id"] != self.root \
                or state["key_id"] != self.root or state["use"] != "root":
            raise Fault("root_untrusted")
        try:
            self.keys[self.root] = self.make_key(state)
        except Fault:
            raise Fault("root_untrusted")

    def apply(self, line, r, state):
        if r["governance_agent_id"] != "keyring":
            raise Fault("key_malformed")
        at, here = line.at, (r["entity_id"], line.at)
        if r["change"] == "introduced":
            root = at == 0 and not self.rooted
            if r["entity_id"] in self.chains or (state["key_id"] in self.keys and not root):
                raise Fault("key_malformed")
            key = self.make_key(state)
            self.positions[line.hash] = here
            if not root and self.revoked(r["key_id"], at):
                return
            key.update(introduced=at, introduction=line.hash, introducer=r["key_id"])
            self.keys[key["id"]] = self.chains[r["entity_id"]] = key
            self.rooted = self.rooted or root
            return
        key = self.chains.get(r["entity_id"])
        if key is None or (state["key_id"], unbase64(state["spki"]), state["use"], state["may_sign"]) != \
                (key["id"], key["spki"], key["use"], key["may_sign"]):
            raise Fault("key_malformed")
        since = state["invalid_from"]
        if r["change"] == "revoked" and (since is None or not 0 <= since <= at):
            raise Fault("key_malformed")
        self.positions[line.hash] = here
        if r["change"] == "reattested":
            self.reattestations.append((line.hash, r["key_id"], here, [bytes.fromhex(h) for h in state["reattests"]]))
            self.lift()
        elif self.revoked(r["key_id"], at):
            pass  # its signer was out of force when it was logged: it counts for nothing
        elif r["change"] == "retired" and key["retired"] is None:
            key["retired"] = at
        elif r["change"] == "revoked" and r["key_id"] != key["id"] and (key["invalid_from"] is None or since < key["invalid_from"]):
            key["invalid_from"] = since
            self.lift()

    def lift(self):
        self.lifted, again = set(), True
        while again:
            again = False
            for hash_, signer, (entity, at), listed in self.reattestations:
                if self.voids(signer, at, hash_):
                    continue
                for h in listed:
                    p = self.positions.get(h)
                    if p and h not in self.lifted and p[0] == entity and p[1] < at:
                        self.lifted.add(h)
                        again = True

    def voids(self, key_id, at, hash_):
        return hash_ not in self.lifted and self.revoked(key_id, at)

    def revoked(self, key_id, at):
        key = self.keys.get(key_id)
        if key is None or key["id"] == self.root:
            return False
        if key["invalid_from"] is not None and key["invalid_from"] <= at:
            return True
        return self.voids(key["introducer"], key["introduced"], key["introduction"])

    def present(self, key_id, at):
        key = self.keys.get(key_id)
        if key is None:
            raise Fault("key_unknown")
        if at < key["introduced"] or (at == key["introduced"] and key_id != self.root):
            raise Fault("key_not_in_force")
        if key["retired"] is not None and key["retired"] < at:
            raise Fault("key_retired")
        return key

    def admit(self, key_id, at, use):
        key = self.present(key_id, at)
        if key["use"] != use:
            raise Fault("key_may_not_sign")
        return key

    def open(self, line):
        r = line.record
        if r is None:
            raise Fault("record_malformed")
        if r["context"] != "plant/amendment/v1":
            raise Fault("context_wrong")
        if r["origin"] != self.origin_at(line.at):
            raise Fault("origin_wrong")
        if r["algorithm"] not in (DIRECT, BATCH):
            raise Fault("algorithm_unknown")
        if (r["algorithm"] == BATCH) != (line.batch is not None):
            raise Fault("algorithm_mismatch")
        return r

    def check_signed(self, line, r):
        key = self.present(r["key_id"], line.at)
        _, use = CHANGES.get((r["change"], r["entity_type"]), (None, None))
        if key["kind"] != "rsa" or use != key["use"] or r["change"] not in key["may_sign"]:
            raise Fault("key_may_not_sign")
        signed = line.record_bytes
        if line.batch is not None:
            signed = line.batch["statement"].encode()
            s = read_object(signed, STATEMENT)
            if s is None or not is_canonical(signed) or not 1 <= s["size"] <= 512:
                raise Fault("batch_malformed")
            if s["context"] != "plant/batch/v1":
                raise Fault("context_wrong")
            if (s["key_id"], s["origin"]) != (r["key_id"], r["origin"]):
                raise Fault("batch_mismatch")
            path = [bytes.fromhex(h) for h in line.batch["path"]]
            if not included(path, s["size"], bytes.fromhex(s["root"]), line.batch["index"], leaf_of(line.hash)):
                raise Fault("batch_path_invalid")
        what = (key["id"], signed, line.signature)
        if what not in self.proven:
            self.proven[what] = verify_pss(key["public"], signed, line.signature)
        if not self.proven[what]:
            raise Fault("signature_invalid")

    def judge(self, chain):
        """What is wrong with the signature of each line of one entity, in log order: a reason or None."""
        faults = [None] * len(chain)
        for i, line in enumerate(chain):
            try:
                self.check_signed(line, self.open(line))
                if self.revoked(line.record["key_id"], line.at):
                    faults[i] = "key_revoked"
            except Fault as f:
                faults[i] = f.reason
        for i in reversed(range(len(chain))):
            if faults[i] is None and chain[i].record["change"] == "reattested":
                for h in chain[i].lists()[1]:
                    for k in range(i):
                        if chain[k].hash.hex() == h:
                            if faults[k] == "key_revoked":
                                faults[k] = None
                            break
        return faults


def judge_chain(chain, signed, knows, withheld):
    """The breaks of one entity's chain in log order: (position, reason)."""
    erased = {}
    for i, line in enumerate(chain):
        if line.record["change"] == "erased" and signed(i):
            for seq in line.lists()[0]:
                erased[seq] = i
    seen, last, last_hash = set(), None, ZERO
    for i, line in enumerate(chain):
        r, reason = line.record, None
        if not is_canonical(line.record_bytes):
            reason = "record_not_canonical"
        elif r["context"] != "plant/amendment/v1":
            reason = "context_wrong"
        if reason is None:
            first = CHANGES.get((r["change"], r["entity_type"]), (None, None))[0]
            if r["seq"] in seen:
                reason = "seq_duplicate"
            elif r["seq"] != (last["seq"] if last else 0) + 1:
                reason = "seq_gap"
            elif r["prev_hash"] != last_hash:
                reason = "prev_hash_mismatch"
            elif last and r["entity_type"] != last["entity_type"]:
                reason = "type_changed"
            elif last and r["governance_agent_id"] != last["governance_agent_id"]:
                reason = "owner_changed"
            elif last and r["recorded_at"] < last["recorded_at"]:
                reason = "time_backwards"
            elif first != (r["seq"] == 1) or line.is_key != (r["governance_agent_id"] == "keyring"):
                reason = "change_invalid"
            elif not knows(r["constitution"]):
                reason = "constitution_unknown"
            elif line.opening is None:
                erasable = r["change"] not in ("erased", "reattested", "revoked") and not line.is_key
                if not withheld(r) and not (erasable and erased.get(r["seq"], 0) > i):
                    reason = "opening_missing"
            elif not line.opens():
                reason = "state_hash_mismatch"
            elif not good_state(line.opening[1]):
                reason = "state_malformed"
        seen.add(r["seq"])
        last, last_hash = r, line.hash.hex()
        if reason:
            yield i, reason


# --- Checkpoints -------------------------------------------------------------------------

class Checkpoint:
    """A signed note of three lines; raises Fault where it is none."""

    def __init__(self, data):
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            raise Fault("checkpoint_malformed")
        cut = text.rfind("\n\n")
        if cut < 0 or not text.endswith("\n") or len(text) < cut + 3 or any(c < " " and c != "\n" for c in text):
            raise Fault("checkpoint_malformed")
        self.text, self.signatures = text[:cut + 1], []
        for line in text[cut + 2:-1].split("\n"):
            name, _, b64 = line[2:].partition(" ")
            try:
                signature = base64.b64decode(b64, validate=True)
            except (ValueError, binascii.Error):
                signature = b""
            if not line.startswith("\u2014 ") or not name or NOTE_SPACE.search(name) or len(signature) < 5 or len(self.signatures) == 100:
                raise Fault("checkpoint_malformed")
            self.signatures.append((name, signature[:4], signature[4:], base64.b64encode(signature).decode() == b64))
        lines = self.text.split("\n")
        if len(lines) != 4 or not lines[0] or not re.match(r"(0|[1-9][0-9]{0,15})\Z", lines[1]) or int(lines[1]) > MAX_INTEGER:
            raise Fault("checkpoint_malformed")
        root = unbase64(lines[2])
        if root is None or len(root) != 32:
            raise Fault("checkpoint_malformed")
        self.origin, self.size, self.root = lines[0], int(lines[1]), root

    def judge(self, ring, origins=()):
        """Raises Fault unless a checkpoint key in force at index size - 1 signed it, under the ring's origin or one of origins."""
        origin = self.origin if self.origin in origins else ring.origin
        if self.origin != origin:
            raise Fault("origin_wrong")
        known = {}
        for key in ring.chains.values():
            if key["kind"] == "ed25519":
                name = sha256(origin.encode() + b"\n\x01" + key["public"])[:4]
                known[name] = key
        signed = {}
        for name, hash_, signature, exact in self.signatures:
            if name != origin or hash_ not in known or hash_ in signed:
                continue
            if not verify_ed25519(known[hash_]["public"], self.text.encode(), signature):
                raise Fault("checkpoint_signature_invalid")
            signed[hash_] = exact
        if not signed:
            raise Fault("checkpoint_signature_invalid")
        if not all(signed.values()):
            raise Fault("checkpoint_malformed")
        first = None
        for hash_ in signed:
            try:
                judge_key(ring, known[hash_]["id"], self.size - 1, "checkpoint")
                return
            except Fault as f:
                first = first or f
        raise first


def judge_key(ring, key_id, at, use):
    ring.admit(key_id, at, use)
    if ring.revoked(key_id, at):
        raise Fault("key_revoked")


def judge_heads(ring, data, signature, at):
    h = read_object(data, HEADS, null=False)
    if h is None:
        raise Fault("heads_malformed")
    if h["context"] != "plant/heads/v1":
        raise Fault("context_wrong")
    if h["origin"] != ring.origin_at(at):
        raise Fault("origin_wrong")
    if h["algorithm"] == BATCH:
        raise Fault("algorithm_mismatch")
    if h["algorithm"] != DIRECT:
        raise Fault("algorithm_unknown")
    key = ring.admit(h["key_id"], at, "heads")
    if not verify_pss(key["public"], data, signature):
        raise Fault("signature_invalid")
    judge_key(ring, h["key_id"], at, "heads")


def judge_fork(ring, data, signature, at, origin):
    f = read_fork(data)
    if f is None or f["good_size"] > at:
        raise Fault("fork_malformed")
    if f["origin"] != origin:
        raise Fault("origin_wrong")
    key = ring.admit(f["key_id"], at, "root")
    if not verify_pss(key["public"], data, signature):
        raise Fault("signature_invalid")
    judge_key(ring, f["key_id"], at, "root")


# --- Files -------------------------------------------------------------------------------

class Folder:
    def __init__(self, path):
        self.path, self.names = path, []
        for base, folders, files in os.walk(path):
            if len(self.names) + len(files) + len(folders) > 10000 or os.path.relpath(base, path).count(os.sep) > 8:
                raise NotBundle("too many files or folders")
            for name in files:
                full = os.path.join(base, name)
                self.names.append(os.path.relpath(full, path).replace(os.sep, "/"))

    def open(self, name):
        full = os.path.join(self.path, *name.split("/"))
        if not stat.S_ISREG(os.lstat(full).st_mode):
            raise NotBundle(name + ": not a file")
        return open(full, "rb")


class Zip:
    def __init__(self, path):
        self.zip, self.names, total, seen = zipfile.ZipFile(path), [], 0, set()
        infos = self.zip.infolist()
        if len(infos) > 10000:
            raise NotBundle("too many files")
        for i in infos:
            name, folder = i.filename.rstrip("/"), i.filename.endswith("/")
            mode = stat.S_IFMT(i.external_attr >> 16)
            plain = name and not re.search(r"[\\:\x00]", name) and all(p not in ("", ".", "..") for p in name.split("/"))
            if not plain or mode not in (0, stat.S_IFDIR if folder else stat.S_IFREG) or name.count("/") > 8 or i.orig_filename != i.filename:
                raise NotBundle("zip: a name that is not plain, or neither a file nor a folder")
            if i.flag_bits & 1 or i.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise NotBundle("zip: encrypted, or packed by another method")
            total += i.file_size
            if total > 5 << 30 or (i.file_size > 1 << 20 and i.file_size // 100 > i.compress_size):
                raise NotBundle("zip: unpacks to too much")
            if name.lower() in seen:
                raise NotBundle("zip: a name twice")
            seen.add(name.lower())
            if not folder:
                self.names.append(name)

    def open(self, name):
        return self.zip.open(name)


def read(files, name, limit):
    if name not in files.names:
        raise NotBundle(name + ": missing")
    with files.open(name) as f:
        data = f.read(limit + 1)
    if len(data) > limit:
        raise NotBundle(name + ": too large")
    return data


class Form:
    """The members of an object in a file: name -> (check, required)."""

    def __init__(self, **members):
        self.members = members

    def __call__(self, v):
        return isinstance(v, dict) and v.keys() <= self.members.keys() and all(
            check(v[name]) if name in v else not required for name, (check, required) in self.members.items())


def list_of(check):
    return lambda v: isinstance(v, list) and all(map(check, v))


def map_of(key, check):
    return lambda v: isinstance(v, dict) and all(key(k) and check(c) for k, c in v.items())


def is_base64(v):
    return is_text(v) and unbase64(v) is not None


def is_size(v):
    return re.match(r"[1-9][0-9]{0,18}\Z", v) is not None and int(v) < 2**63


HASHES = list_of(is_hash)
PLACE = {"owner": (is_text, True), "index": (is_int, True), "path": (HASHES, True)}
LINE_FORM = Form(record=(is_text, True), signature=(is_base64, True), log_index=(is_int, True), inclusion=(HASHES, True),
                 opening=(Form(salt=(is_hash, True), state=(is_text, True)), False),
                 batch=(Form(statement=(is_text, True), index=(is_int, True), path=(HASHES, True)), False))
FORK_FORM = Form(statement=(is_text, True), signature=(is_base64, True), log_index=(is_int, True), inclusion=(HASHES, True))
HEADS_FORM = Form(record=(is_text, True), signature=(is_base64, True), log_index=(is_int, True), inclusion=(HASHES, True),
                  tenants=(list_of(Form(tenant=(is_hash, False), count=(lambda v: type(v) is int, False), root=(is_hash, False))), True),
                  salts=(map_of(is_text, is_hash), True),
                  earlier=(list_of(Form(log_index=(is_int, True), hash=(is_hash, True))), False),
                  consistency=(map_of(is_size, HASHES), False), entity=(Form(**PLACE), False),
                  entities=(list_of(Form(entity_id=(is_text, True), **PLACE)), False),
                  forks=(lambda v: list_of(FORK_FORM)(v) and all(a["log_index"] < b["log_index"] for a, b in zip(v, v[1:])), False))


def good_scope(s):
    if not isinstance(s, dict) or not s.keys() <= {"type", "id", "at"} or not all(map(is_text, s.values())):
        return False
    kind, ident, at = s.get("type", ""), s.get("id", ""), s.get("at", "")
    if kind == "all":
        return not ident and not at
    if kind == "agent":
        return ident != "" and is_time(at)
    return kind in ("governance_agent", "entity") and ident != "" and not at


def is_ascending(v):
    if not isinstance(v, list) or not all(map(is_text, v)):
        return False
    raw = [t.encode() for t in v]
    return all(a < b for a, b in zip(raw, raw[1:]))


RESULT_FORM = Form(constitution=(is_hash, True), entity_id=(is_text, True), failed=(is_ascending, True),
                   passed=(is_ascending, True), seq=(is_int, True))
COMPLIANCE_FORM = Form(results=(list_of(RESULT_FORM), True), constitution=(is_hash, False))
MANIFEST_FORM = Form(format=(is_text, True), origin=(is_text, True), created_at=(is_time, True), scope=(good_scope, True))


def strict(files, name, form):
    try:
        value = parse(read(files, name, LIMITS[name]), null=False)
    except Refused as e:
        raise NotBundle("%s: malformed: %s" % (name, e))
    if not form(value):
        raise NotBundle(name + ": a member is missing, unknown or not of its form")
    return value


# --- The four verdicts -------------------------------------------------------------------

class Findings:
    """Keeps the first offender of a verdict: (stage, log index, file, line) orders them."""

    def __init__(self):
        self.first = None

    def add(self, place, reason, entity=""):
        if self.first is None or place < self.first[0]:
            self.first = (place, reason, entity)

    def offender(self):
        if self.first is None:
            return None
        (stage, at, file, _), reason, entity = self.first
        return offence(reason, file, at if stage < 2 and at >= 0 else None, entity)


def offence(reason, file, at=None, entity=""):
    out = {"reason": reason, "file": file}
    if at is not None:
        out["log_index"] = at
    if entity:
        out["entity_id"] = entity
    return out


def told(offender):
    """An offender as a sentence in ASCII: the reason, and what it was found at."""
    text = "%(reason)s in %(file)s" % offender
    if "log_index" in offender:
        text += ", log index %d" % offender["log_index"]
    if "entity_id" in offender:
        text += ", entity " + offender["entity_id"]
    return ascii(text)[1:-1]


class Incomplete(Exception):
    pass


class Verifier:
    def __init__(self, files, options):
        self.files, self.options = files, options
        self.manifest = strict(files, "manifest.json", MANIFEST_FORM)
        if self.manifest["format"] != "plant/bundle/v1":
            raise NotBundle("manifest.json: another format")
        self.scope = {"type": "", "id": "", "at": "", **self.manifest["scope"]}
        self.kind = self.scope["type"]
        self.checkpoint_bytes, self.checkpoint = read(files, "checkpoint", LIMITS["checkpoint"]), None
        try:
            self.checkpoint = Checkpoint(self.checkpoint_bytes)
        except Fault:
            pass
        self.heads = strict(files, "heads.json", HEADS_FORM)
        if ("entity" in self.heads) != (self.kind == "entity") or ("entities" in self.heads) != (self.kind == "agent"):
            raise NotBundle("heads.json: not of the scope")
        self.heads_bytes = self.heads["record"].encode()
        self.heads_record = read_object(self.heads_bytes, HEADS, null=False)
        self.forks = [(f, f["statement"].encode(), read_fork(f["statement"].encode())) for f in self.heads.get("forks", [])]
        self.signature, self.integrity, self.inclusion, self.outside = Findings(), Findings(), Findings(), Findings()
        self.constitutions = set()
        self.documents("constitutions", self.constitutions, "constitution_malformed")
        self.documents("checklists", set(), "checklist_malformed")
        self.sample = [read(files, n, 64 << 10) if n in files.names else None for n in ("sample/record.json", "sample/record.sig")]
        self.lines = self.entries = None
        self.owners, self.dated = {}, {}

    def within(self, folder, ending):
        return [n for n in sorted(self.files.names) if n.startswith(folder + "/") and n.count("/") == 1 and n.endswith(ending)]

    def documents(self, folder, known, reason):
        for name in self.within(folder, ".json"):
            data = read(self.files, name, 1 << 20)
            if name[len(folder) + 1:-5] == hexhash(data) and is_canonical(data):
                known.add(hexhash(data))
            else:
                self.integrity.add((3, 0, name, 0), reason)

    def run(self):
        self.scan()
        keys = [l for l in self.lines if l.is_key]
        earlier = [(f["from_origin"], at["log_index"]) for at, _, f in self.forks if f]
        self.ring = Keyring(self.options["origin"], self.options["root"], keys, earlier)
        if not self.ring.rooted and not any(l.at == 0 for l in keys):
            self.signature.add((1, 0, "keys.jsonl", 0), "root_untrusted")
        self.judge_chains()
        self.judge_results()
        self.judge_files()
        heads_fault = None
        try:
            judge_heads(self.ring, self.heads_bytes, unbase64(self.heads["signature"]), self.heads["log_index"])
        except Fault as f:
            heads_fault = f.reason
            self.signature.add((1, self.heads["log_index"], "heads.json", 0), heads_fault)
        for i, (fork, data, _) in enumerate(self.forks):
            after = self.forks[i + 1][2] if i + 1 < len(self.forks) else None
            to = after["from_origin"] if after else self.options["origin"]
            try:
                judge_fork(self.ring, data, unbase64(fork["signature"]), fork["log_index"], to)
            except Fault as f:
                self.signature.add((1, fork["log_index"], "heads.json", 0), f.reason)
        try:
            complete = None
            self.completeness()
        except Incomplete as e:
            complete = e.args[0]
        return {"signature": self.signature.offender(), "integrity": self.integrity.offender(),
                "completeness": complete, "freshness": self.freshness(heads_fault)}

    def scan(self):
        """Looks at each line alone."""
        self.lines, self.sampled = [], False
        for file in ("keys.jsonl", "amendments.jsonl"):
            last = -1
            for number, data in enumerate(self.raw_lines(file), 1):
                try:
                    text = parse(data, null=False)
                except Refused as e:
                    raise NotBundle("%s:%d: malformed: %s" % (file, number, e))
                if not LINE_FORM(text):
                    raise NotBundle("%s:%d: a member is missing, unknown or not of its form" % (file, number))
                text["signature"] = unbase64(text["signature"])
                line = Line(file, number, data, text)
                self.lines.append(line)
                if line.at <= last:
                    self.integrity.add((0, line.at, file, number), "log_order")
                last = line.at
                self.take(line)
        self.entries = sorted(((l.at, l.hash) for l in self.lines), key=lambda e: e[0])

    def raw_lines(self, file):
        if file not in self.files.names:
            raise NotBundle(file + ": missing")
        with self.files.open(file) as f:
            total = 0
            while True:
                data = f.readline(MAX_LINE)
                if not data:
                    return
                total += len(data)
                if total > LIMITS[file] or len(data) >= MAX_LINE:
                    raise NotBundle(file + ": too large")
                yield data

    def take(self, line):
        c = self.checkpoint
        if c and not included(line.inclusion, c.size, c.root, line.at, leaf_of(line.hash)):
            self.inclusion.add(line.place, "inclusion_invalid", line.record["entity_id"] if line.record else "")
        line.inclusion = None
        if line.batch is None and [line.record_bytes, line.signature] == self.sample:
            self.sampled = True
        r = line.record
        if r is None:
            return
        if line.is_key != (line.file == "keys.jsonl"):
            self.integrity.add((0,) + line.place[1:], "record_misplaced", r["entity_id"])
        if line.file == "amendments.jsonl":
            other = {"governance_agent": r["governance_agent_id"], "entity": r["entity_id"]}.get(self.kind)
            if other is not None and other != self.scope["id"]:
                self.outside.add(line.place, "out_of_scope", r["entity_id"])
            if self.kind == "agent":
                self.take_dated(line)
        own = self.owners.setdefault(r["governance_agent_id"], {})
        first, newest, head = own.get(r["entity_id"], (line.at, -1, None))
        if line.at > newest:
            newest, head = line.at, (r["entity_id"], line.hash.hex(), r["seq"])
        own[r["entity_id"]] = (min(first, line.at), newest, head)

    def take_dated(self, line):
        r = line.record
        d = self.dated.setdefault(r["entity_id"], {"first": line.at, "type": r["entity_type"], "owner": r["governance_agent_id"], "shown": None, "refs": []})
        if line.at < d["first"]:
            d.update(first=line.at, type=r["entity_type"], owner=r["governance_agent_id"])
        if r["recorded_at"] > self.scope["at"] or not line.opens():
            return
        if d["shown"] is None or (r["seq"], -line.at) > d["shown"]:
            d["shown"], state = (r["seq"], -line.at), line.loose_state()
            names = {"agent": [("skill", "skill_id"), ("job_role", "job_role_id"), ("industry", "industry_id"), ("team", "team_id")],
                     "job_role": [("industry", "industry_id")], "team": [("job_role", "job_role_id")]}.get(r["entity_type"], [])
            refs = [(t, state.get(n)) for t, n in names]
            required = state.get("required_skills")
            if r["entity_type"] == "job_role" and isinstance(required, list):
                refs += [("skill", s) for s in required]
            d["refs"] = [(t, i) for t, i in refs if is_text(i) and i]

    def judge_chains(self):
        chains = {}
        for line in self.lines:
            if line.record is None:
                self.signature.add(line.place, "record_malformed")
                self.integrity.add(line.place, "record_malformed")
            else:
                chains.setdefault(line.record["entity_id"], []).append(line)
        agent = self.dated.get(self.scope["id"]) if self.kind == "agent" else None
        for entity, chain in chains.items():
            chain.sort(key=lambda l: l.at)
            others = [l for l in chain if not l.is_key]
            faults = dict(zip(map(id, others), self.ring.judge(others)))
            faults.update({id(l): self.ring.faults.get(id(l)) for l in chain if l.is_key})
            for line in chain:
                if faults[id(line)]:
                    self.signature.add(line.place, faults[id(line)], entity)
            breaks = judge_chain(chain, lambda i: faults[id(chain[i])] is None, self.constitutions.__contains__,
                                 lambda r: agent is not None and r["entity_type"] != "signing_key" and r["governance_agent_id"] != agent["owner"])
            for i, reason in breaks:
                self.integrity.add(chain[i].place, reason, entity)

    def judge_results(self):
        """Rule results are each of the newest version of an entity; what they say is for who has the rules."""
        if "compliance.json" not in self.files.names:
            return
        try:
            results = parse(read(self.files, "compliance.json", LIMITS["compliance.json"]), null=False)
        except Refused:
            results = None
        ids = [r["entity_id"] for r in results["results"]] if COMPLIANCE_FORM(results) else None
        if ids is None or len(set(ids)) != len(ids) or len(ids) > sum(map(len, self.owners.values())):
            self.integrity.add((3, 0, "compliance.json", b""), "compliance_malformed")
            return
        newest = {}
        for line in self.lines:
            if line.record is not None:
                held = newest.setdefault(line.record["entity_id"], line)
                if line.at >= held.at:
                    newest[line.record["entity_id"]] = line
        for result in results["results"]:
            entity = result["entity_id"]
            line = newest.get(entity)
            if line is None or line.is_key or (result["seq"], result["constitution"]) != (line.record["seq"], line.record["constitution"]):
                self.integrity.add((3, 0, "compliance.json", entity.encode()), "rule_result_wrong", entity)

    def judge_files(self):
        if self.manifest["origin"] != self.options["origin"]:
            self.signature.add((0, -1, "manifest.json", 0), "origin_wrong")
        try:
            Checkpoint(self.checkpoint_bytes).judge(self.ring)
        except Fault as f:
            self.signature.add((2, 0, "checkpoint", 0), f.reason)
        if self.sample != [None, None] and not self.sampled:
            self.signature.add((4, 0, "sample/record.sig", 0), "sample_invalid")
        for name in self.within("keys", ".pem"):
            key = self.ring.keys.get(name[5:-4])
            if key is None or pem(key["spki"]) != read(self.files, name, 16 << 10):
                self.signature.add((3, 0, name, 0), "pem_mismatch")

    def completeness(self):
        def fail(reason, file="heads.json", at=self.heads["log_index"], entity=""):
            raise Incomplete(offence(reason, file, at, entity))
        required = self.options.get("scope")
        if required and required != scope_text(self.scope):
            fail("scope_mismatch", "manifest.json", None)
        h, c = self.heads_record, self.checkpoint
        if h is None:
            fail("heads_malformed")
        if canonical(h).encode() != self.heads_bytes:
            fail("heads_not_canonical")
        if c is None:
            fail("checkpoint_malformed", "checkpoint", None)
        if not h["log_size"] == self.heads["log_index"] == c.size - 1:
            fail("heads_not_last")
        if self.kind == "all":
            whole = self.whole_log()
            for a, b in zip(whole, whole[1:]):
                if a[0] == b[0]:
                    fail("log_entry_duplicate", "amendments.jsonl", b[0])
            for at in range(min(c.size, len(whole) + 1)):
                if at >= len(whole) or whole[at][0] != at:
                    fail("log_entry_missing", "amendments.jsonl", at)
            if root_of(leaf_of(e) for _, e in whole[:c.size]) != c.root:
                fail("log_root_mismatch", "checkpoint", None)
        if self.inclusion.first:
            raise Incomplete(self.inclusion.offender())
        path = [bytes.fromhex(x) for x in self.heads["inclusion"]]
        if not included(path, c.size, c.root, self.heads["log_index"], leaf_of(sha256(self.heads_bytes))):
            fail("inclusion_invalid")
        for fork, data, f in self.forks:
            at = fork["log_index"]
            if not included([bytes.fromhex(x) for x in fork["inclusion"]], c.size, c.root, at, leaf_of(sha256(data))):
                fail("inclusion_invalid", at=at)
            if f is None:
                fail("fork_malformed", at=at)
            if not self.continues(f["good_size"], bytes.fromhex(f["good_root"]), c):
                fail("fork_inconsistent", at=at)
        rows = [{"tenant": ZERO, "count": 0, "root": ZERO, **row} for row in self.heads["tenants"]]
        if any(a["tenant"] >= b["tenant"] for a, b in zip(rows, rows[1:])):
            fail("tenants_unsorted")
        if len(rows) != h["tenants"]:
            fail("tenants_count_mismatch")
        if any(row["count"] < 1 for row in rows) or sum(row["count"] for row in rows) != h["entities"]:
            fail("entities_count_mismatch")
        if root_of(leaf_of(canonical(row).encode()) for row in rows).hex() != h["root"]:
            fail("heads_root_mismatch")
        self.scoped({row["tenant"]: row for row in rows}, fail)

    def scoped(self, rows, fail):
        if self.outside.first:
            raise Incomplete(self.outside.offender())
        owners = {"keyring"}
        if self.kind == "all":
            owners |= self.owners.keys()
        elif self.kind == "governance_agent":
            owners.add(self.scope["id"])
        elif self.kind == "entity":
            self.placed(self.scope["id"], self.heads["entity"], rows, fail)
        else:
            self.agent_scope(rows, fail)
        for owner in sorted(owners, key=lambda o: o.encode()):
            row = self.row(owner, rows, fail)
            heads = sorted(self.owners.get(owner, {}).values(), key=lambda e: (e[0], e[2][0]))
            if len(heads) != row["count"]:
                fail("tenant_count_mismatch")
            if root_of(head_leaf(e[2]) for e in heads).hex() != row["root"]:
                fail("tenant_root_mismatch")
            del rows[row["tenant"]]
        if self.kind == "all" and rows:
            fail("tenant_extra")

    def row(self, owner, rows, fail):
        salt = self.heads["salts"].get(owner)
        name = salt and hexhash(b"plant/tenant/v1\n" + bytes.fromhex(salt) + owner.encode())
        if name not in rows:
            fail("tenant_missing")
        return rows[name]

    def placed(self, entity, place, rows, fail):
        """Checks that an entity ends where its owner's tree says."""
        own = self.owners.get(place["owner"], {}).get(entity)
        if own is None:
            fail("entity_head_mismatch", at=None, entity=entity)
        row = self.row(place["owner"], rows, fail)
        path = [bytes.fromhex(x) for x in place["path"]]
        if not included(path, row["count"], bytes.fromhex(row["root"]), place["index"], head_leaf(own[2])):
            fail("entity_head_mismatch", at=None, entity=entity)

    def agent_scope(self, rows, fail):
        inside, missing, todo = set(), [], [("agent", self.scope["id"])]
        while todo:
            kind, entity = todo.pop()
            d = self.dated.get(entity)
            if d is None or d["type"] != kind:
                missing.append((entity.encode(), entity))
            elif entity not in inside:
                inside.add(entity)
                todo += d["refs"]
        if self.scope["at"] > self.heads_record["recorded_at"]:
            fail("at_beyond_heads")
        if missing:
            fail("reference_missing", "amendments.jsonl", None, min(missing)[1])
        outside = [(d["first"], entity) for entity, d in self.dated.items() if entity not in inside]
        if outside:
            fail("out_of_scope", "amendments.jsonl", *min(outside))
        places = self.heads["entities"]
        for i, entity in enumerate(sorted(inside)):
            if i >= len(places) or places[i]["entity_id"] != entity:
                fail("entity_head_mismatch", at=None, entity=entity)
            self.placed(entity, places[i], rows, fail)
        if len(places) > len(inside):
            fail("entity_head_mismatch", at=None)

    def whole_log(self):
        earlier = [(e["log_index"], bytes.fromhex(e["hash"])) for e in self.heads.get("earlier", [])]
        forks = [(f["log_index"], sha256(data)) for f, data, _ in self.forks]
        return sorted(self.entries + earlier + forks + [(self.heads["log_index"], sha256(self.heads_bytes))], key=lambda e: e[0])

    def freshness(self, heads_fault):
        if heads_fault:
            return offence("heads_invalid", "heads.json", self.heads["log_index"])
        recorded = self.heads_record["recorded_at"]
        if recorded < "0001":
            return offence("stale", "heads.json")
        age = self.options["now"] - datetime.datetime.strptime(recorded, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=datetime.timezone.utc)
        if age > self.options["max_age"]:
            return offence("stale", "heads.json")
        if age < -datetime.timedelta(seconds=10):
            return offence("from_the_future", "heads.json")
        if self.options.get("seen") is None:
            return None
        try:
            seen = Checkpoint(self.options["seen"])
            seen.judge(self.ring, [origin for origin, _ in self.ring.earlier])
        except Fault:
            return offence("seen_invalid", "seen")
        try:
            own = Checkpoint(self.checkpoint_bytes)
            own.judge(self.ring)
        except Fault:
            return offence("checkpoint_invalid", "checkpoint")
        if own.size < seen.size:
            return offence("rollback", "checkpoint")
        return None if self.continues(seen.size, seen.root, own) else offence("seen_inconsistent", "checkpoint")

    def continues(self, size, root, own):
        """Whether the checkpoint's log begins with that of a size and a root."""
        if size == 0:
            return root == root_of([])
        if own.size == size:
            return own.root == root
        if self.kind == "all":
            whole = self.whole_log()
            return size <= len(whole) and root_of(leaf_of(e) for _, e in whole[:size]) == root
        path = self.heads.get("consistency", {}).get(str(size))
        return path is not None and consistent([bytes.fromhex(x) for x in path], own.size, own.root, size, root)


def head_leaf(head):
    return leaf_of(canonical({"entity_id": head[0], "hash": head[1], "seq": head[2]}).encode())


def scope_text(scope):
    out = scope["type"]
    if scope.get("id"):
        out += ":" + scope["id"]
    return out + ("@" + scope["at"] if scope.get("at") else "")


# --- The command line --------------------------------------------------------------------

def verify(bundle, trust, origin, scope=None, max_age=26.0, now=None, seen=None):
    """Judges a bundle, a zip or a folder. trust and seen are the files' bytes, now a
    datetime or None, max_age hours. Returns {verdict: None or its first offender};
    raises NotBundle, or ValueError for an option."""
    text = trust.decode("ascii")
    body = re.match(r"\s*-----BEGIN PUBLIC KEY-----\s(.*)-----END PUBLIC KEY-----\s*\Z", text, re.DOTALL)
    spki = base64.b64decode("".join(body.group(1).split()), validate=True) if body else b""
    kind, public = read_spki(spki)
    if kind != "rsa" or public[0].bit_length() != 4096:
        raise ValueError("trust: not an RSA key of 4096 bits")
    if not origin or SPACE.search(origin) or "+" in origin:
        raise ValueError("origin: not the name of a log")
    options = {"root": hexhash(spki), "origin": origin, "scope": scope, "seen": seen,
               "max_age": datetime.timedelta(hours=max_age), "now": now or datetime.datetime.now(datetime.timezone.utc)}
    try:
        files = Folder(bundle) if os.path.isdir(bundle) else Zip(bundle)
        return Verifier(files, options).run()
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError, OSError, UnicodeError, zlib.error, MemoryError) as e:
        raise NotBundle(str(e))


def read_time(text):
    at = datetime.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text.replace("Z", "+00:00")))
    return at if at.tzinfo else at.replace(tzinfo=datetime.timezone.utc)


def slurp(name):
    with open(name, "rb") as f:
        return f.read(1 << 20)


def run(o):
    seen = slurp(o["seen"]) if o.get("seen") else None
    now = read_time(o["now"]) if o.get("now") else None
    return verify(o["bundle"], slurp(o["trust"]), o["origin"], o.get("scope"), float(o.get("max_age") or 26), now, seen)


def many(name):
    with open(name, encoding="utf-8") as f:
        for line in f:
            try:
                answer = {"verdicts": run(json.loads(line))}
            except NotBundle as e:
                answer = {"not_bundle": str(e)}
            print(json.dumps(answer), flush=True)


def main():
    parser = argparse.ArgumentParser(description="Check a bundle of Plant's ledger, offline.")
    parser.add_argument("bundle", nargs="?", help="a zip, or the folder it unpacks to")
    parser.add_argument("--trust", help="PEM file of the root key that you trust; never from the bundle")
    parser.add_argument("--origin", help="the log that you expect")
    parser.add_argument("--scope", help="all, governance_agent:ID, entity:ID or agent:ID@TIME")
    parser.add_argument("--max-age", default="26", help="hours that the heads record may be old")
    parser.add_argument("--now", help="judge as of this time")
    parser.add_argument("--seen", help="the file checkpoint of an earlier bundle")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--many", metavar="LIST", help="a file with the options of a bundle on each line")
    args = vars(parser.parse_args())
    if args["many"]:
        many(args["many"])
        return 0
    if not args["bundle"] or not args["trust"] or not args["origin"]:
        parser.error("a bundle, --trust and --origin are required. Try: python3 verify.py --help")
    args["max_age"] = re.sub("h$", "", args["max_age"])
    try:
        verdicts = run(args)
    except (NotBundle, ValueError, OSError) as e:
        print("not judged: %s\nTry: check the options, or ask for the bundle again" % e, file=sys.stderr)
        return 2
    if args["json"]:
        print(json.dumps({"passed": not any(verdicts.values()), "verdicts": verdicts}, indent=2))
    else:
        for name, offender in verdicts.items():
            print("%-13s %s" % (name, "passed" if offender is None else "FAILED: " + told(offender)))
        print("All four verdicts pass. The rules themselves are not judged here." if not any(verdicts.values()) else "Try: ask for the bundle again, and keep both if it fails again")
    return 1 if any(verdicts.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
