#!/usr/bin/env python3
"""Checks an evidence pack of Caiwutong (财务通). Needs Python 3.9 or newer, and nothing else.

    python verify.py PACK.zip --key PUBLIC_KEY_HEX     (--key: told to you by another way)

It trusts the public key alone. Checked are: every signed head drawn (one in a hundred; --all for
every one), every record's hash, the Merkle tree they give against the signed heads, in a pack of a
single payment each record's path, and the people's signatures under it. With --show it prints what
the records say. Exit status 0: everything holds; 1: something does not, and what is printed.

The bytes are described in docs/audit.md: SM3 (GM/T 0004), the tree of RFC 6962, Ed25519 (RFC 8032),
SM2 (GM/T 0003.2).
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import random
import sys
import zipfile
from collections.abc import Iterator
from typing import IO, Any

P25519 = 2**255 - 19
L25519 = 2**252 + 27742317777372353535851937790883648493
D25519 = -121665 * pow(121666, P25519 - 2, P25519) % P25519

Edwards = tuple[int, int, int, int]
Affine = tuple[int, int]


class Bad(Exception):
    """Something in the pack does not hold."""


# --- SM3 (GM/T 0004-2012) -----------------------------------------------------------------------


def _rotate(x: int, n: int) -> int:
    n %= 32
    return ((x << n) | (x >> (32 - n))) & 0xFFFFFFFF


def sm3_by_hand(data: bytes) -> bytes:
    """SM3 in plain Python, where OpenSSL has none."""
    v = [0x7380166F, 0x4914B2B9, 0x172442D7, 0xDA8A0600, 0xA96F30BC, 0x163138AA, 0xE38DEE4D,
         0xB0FB0E4E]  # fmt: skip
    size = len(data) * 8
    data = data + b"\x80" + b"\x00" * ((55 - len(data)) % 64) + size.to_bytes(8, "big")
    for at in range(0, len(data), 64):
        w = [int.from_bytes(data[at + i * 4 : at + i * 4 + 4], "big") for i in range(16)]
        for i in range(16, 68):
            x = w[i - 16] ^ w[i - 9] ^ _rotate(w[i - 3], 15)
            x = x ^ _rotate(x, 15) ^ _rotate(x, 23)
            w.append(x ^ _rotate(w[i - 13], 7) ^ w[i - 6])
        a, b, c, d, e, f, g, h = v
        for i in range(64):
            t = 0x79CC4519 if i < 16 else 0x7A879D8A
            ss1 = _rotate((_rotate(a, 12) + e + _rotate(t, i)) & 0xFFFFFFFF, 7)
            ss2 = ss1 ^ _rotate(a, 12)
            ff = a ^ b ^ c if i < 16 else (a & b) | (a & c) | (b & c)
            gg = e ^ f ^ g if i < 16 else (e & f) | (~e & 0xFFFFFFFF & g)
            tt1 = (ff + d + ss2 + (w[i] ^ w[i + 4])) & 0xFFFFFFFF
            tt2 = (gg + h + ss1 + w[i]) & 0xFFFFFFFF
            d, c, b, a = c, _rotate(b, 9), a, tt1
            h, g, f, e = g, _rotate(f, 19), e, tt2 ^ _rotate(tt2, 9) ^ _rotate(tt2, 17)
        v = [old ^ new for old, new in zip(v, (a, b, c, d, e, f, g, h))]  # noqa: B905
    return b"".join(x.to_bytes(4, "big") for x in v)


def _fast_sm3(data: bytes) -> bytes:
    return hashlib.new("sm3", data).digest()


sm3 = _fast_sm3 if "sm3" in hashlib.algorithms_available else sm3_by_hand


# --- the tree (RFC 6962, 2.1) -------------------------------------------------------------------


def leaf_hash(record: bytes) -> bytes:
    return sm3(b"\x00" + record)


class Tree:
    """Grows at its right end; remembers only its peaks."""

    def __init__(self, size: int, frontier: bytes) -> None:
        if len(frontier) != 32 * bin(size).count("1"):
            raise Bad(f"the peaks at the start do not belong to a tree of {size}")
        self.size = size
        self.peaks = [frontier[i : i + 32] for i in range(0, len(frontier), 32)]

    def append(self, leaf: bytes) -> None:
        level = self.size
        while level & 1:
            leaf = sm3(b"\x01" + self.peaks.pop() + leaf)
            level >>= 1
        self.peaks.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        if not self.peaks:
            return sm3(b"")
        above = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            above = sm3(b"\x01" + peak + above)
        return above


def is_included(leaf: bytes, index: int, size: int, path: list[bytes], root: bytes) -> bool:
    here, last = index, size - 1
    if not 0 <= index < size:
        return False
    for sibling in path:
        if last == 0:
            return False
        if here & 1 or here == last:
            leaf = sm3(b"\x01" + sibling + leaf)
            while here and not here & 1:
                here, last = here >> 1, last >> 1
        else:
            leaf = sm3(b"\x01" + leaf + sibling)
        here, last = here >> 1, last >> 1
    return last == 0 and leaf == root


# --- Ed25519 (RFC 8032) -------------------------------------------------------------------------


def _ed_add(p: Edwards, q: Edwards) -> Edwards:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P25519, (p[1] + p[0]) * (q[1] + q[0]) % P25519
    c, d = 2 * p[3] * q[3] * D25519 % P25519, 2 * p[2] * q[2] % P25519
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P25519, g * h % P25519, f * g % P25519, e * h % P25519)


def _ed_times(n: int, p: Edwards) -> Edwards:
    q = (0, 1, 1, 0)
    while n:
        if n & 1:
            q = _ed_add(q, p)
        p, n = _ed_add(p, p), n >> 1
    return q


def _ed_point(data: bytes) -> Edwards | None:
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= P25519:
        return None
    x2 = (y * y - 1) * pow(D25519 * y * y + 1, P25519 - 2, P25519) % P25519
    x = pow(x2, (P25519 + 3) // 8, P25519)
    if (x * x - x2) % P25519:
        x = x * pow(2, (P25519 - 1) // 4, P25519) % P25519
    if (x * x - x2) % P25519 or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P25519 - x
    return (x, y, 1, x * y % P25519)


def _ed_base() -> Edwards:
    point = _ed_point((4 * pow(5, P25519 - 2, P25519) % P25519).to_bytes(32, "little"))
    assert point is not None
    return point


_ED_BASE = _ed_base()


def ed25519(public: bytes, message: bytes, signature: bytes) -> bool:
    if len(public) != 32 or len(signature) != 64:
        return False
    a, r, s = _ed_point(public), _ed_point(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L25519:
        return False
    k = hashlib.sha512(signature[:32] + public + message).digest()
    left = _ed_times(s, _ED_BASE)
    right = _ed_add(r, _ed_times(int.from_bytes(k, "little") % L25519, a))
    return (left[0] * right[2] - right[0] * left[2]) % P25519 == 0 and (
        left[1] * right[2] - right[1] * left[2]
    ) % P25519 == 0


# --- SM2 (GM/T 0003.2-2012), default identity ---------------------------------------------------

SM2_P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
SM2_A = SM2_P - 3
SM2_B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
SM2_N = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
SM2_G = (0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7,
         0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0)  # fmt: skip
SM2_ID = b"1234567812345678"


def _sm2_add(p: Affine | None, q: Affine | None) -> Affine | None:
    if p is None or q is None:
        return q if p is None else p
    if p[0] == q[0]:
        if (p[1] + q[1]) % SM2_P == 0:
            return None
        slope = (3 * p[0] * p[0] + SM2_A) * pow(2 * p[1], SM2_P - 2, SM2_P)
    else:
        slope = (q[1] - p[1]) * pow(q[0] - p[0], SM2_P - 2, SM2_P)
    x = (slope * slope - p[0] - q[0]) % SM2_P
    return (x, (slope * (p[0] - x) - p[1]) % SM2_P)


def _sm2_times(n: int, p: Affine | None) -> Affine | None:
    q: Affine | None = None
    while n:
        if n & 1:
            q = _sm2_add(q, p)
        p, n = _sm2_add(p, p), n >> 1
    return q


def _der_pair(der: bytes) -> tuple[int, int] | None:
    if len(der) < 8 or der[0] != 0x30 or der[1] != len(der) - 2 or der[2] != 2:
        return None
    size = der[3]
    if der[4 + size : 5 + size] != b"\x02" or len(der) != 6 + size + der[5 + size]:
        return None
    return int.from_bytes(der[4 : 4 + size], "big"), int.from_bytes(der[6 + size :], "big")


def sm2(public: bytes, message: bytes, signature: bytes) -> bool:
    if len(public) != 65 or public[0] != 4:
        return False
    if len(signature) == 64:
        pair = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    else:
        pair = _der_pair(signature)
    x, y = int.from_bytes(public[1:33], "big"), int.from_bytes(public[33:], "big")
    if pair is None or (y * y - x * x * x - SM2_A * x - SM2_B) % SM2_P:
        return False
    r, s = pair
    if not (0 < r < SM2_N and 0 < s < SM2_N):
        return False
    curve = b"".join(n.to_bytes(32, "big") for n in (SM2_A, SM2_B, *SM2_G))
    za = sm3((len(SM2_ID) * 8).to_bytes(2, "big") + SM2_ID + curve + public[1:])
    e, t = int.from_bytes(sm3(za + message), "big"), (r + s) % SM2_N
    if t == 0:
        return False
    point = _sm2_add(_sm2_times(s, SM2_G), _sm2_times(t, (x, y)))
    return point is not None and (e + point[0]) % SM2_N == r


# --- records ------------------------------------------------------------------------------------


def records(file: IO[bytes]) -> Iterator[bytes]:
    """The records of events.bin: each with four bytes of length before it."""
    while True:
        head = file.read(4)
        if not head:
            return
        size = int.from_bytes(head, "big")
        record = file.read(size)
        if len(head) != 4 or len(record) != size:
            raise Bad("events.bin ends in the middle of a record")
        yield record


def read_record(record: bytes) -> dict[str, Any]:
    """What a record says, as a dict."""
    place = 1

    def take(n: int) -> bytes:
        nonlocal place
        place += n
        return record[place - n : place]

    def text() -> str:
        return take(int.from_bytes(take(4), "big")).decode()

    def moment() -> str:
        micros = int.from_bytes(take(8), "big", signed=True)
        epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
        return (epoch + datetime.timedelta(microseconds=micros)).isoformat()

    said: dict[str, Any] = {"tenant": text(), "event_id": take(16).hex()}
    said["transaction"] = int.from_bytes(take(8), "big")
    said["kind"], said["subject_kind"] = text(), text()
    said["subject_id"], said["actor"] = take(16).hex(), text()
    said["at"], said["recorded_at"] = moment(), moment()
    said["body"] = json.loads(take(int.from_bytes(take(4), "big")).decode())
    if record[:1] != b"\x01" or place != len(record):
        raise Bad("a record is not in the form this program knows")
    return said


# --- the pack -----------------------------------------------------------------------------------


class Pack:
    """One pack, checked step by step."""

    def __init__(self, archive: zipfile.ZipFile, key: bytes, everything: bool, show: bool) -> None:
        self.zip, self.key, self.all, self.show = archive, key, everything, show
        self.manifest: dict[str, Any] = json.loads(archive.read("manifest.json"))
        if self.manifest.get("format") != 1:
            raise Bad("this program knows packs of format 1")
        self.heads = self.checked = self.events = self.people = 0

    def check(self) -> None:
        lines = self.zip.read("heads.jsonl").splitlines()
        self.draw = set(range(len(lines)))
        if not self.all and len(lines) > 100:
            self.draw = set(random.sample(range(1, len(lines) - 1), len(lines) // 100))
            self.draw |= {0, len(lines) - 1}
        heads = [self.head(number, line) for number, line in enumerate(lines)]
        if self.manifest["scope"]["kind"] == "period":
            self.period(heads)
        else:
            self.subject(heads)
        if "signatures.json" in self.zip.namelist():
            self.signatures()

    def head(self, number: int, line: bytes) -> dict[str, Any]:
        # The signature is over the exact bytes of the head, which stand in the line as they are.
        start, end = line.index(b'{"version"'), line.rindex(b',"signature":')
        raw = line[start:end]
        head, signature = json.loads(raw), json.loads(line)["signature"]
        if head["tenant"] != self.manifest["tenant"]:
            raise Bad(f"head {head['batch_no']} is of another tenant")
        if number in self.draw:
            if not ed25519(self.key, raw, bytes.fromhex(signature)):
                raise Bad(f"head {head['batch_no']} is not signed by the key")
            self.checked += 1
        self.heads += 1
        return head

    def period(self, heads: list[dict[str, Any]]) -> None:
        before = self.manifest["size_before"]
        tree = Tree(before, bytes.fromhex(self.manifest["frontier_before"]))
        if before:
            # The head before the period anchors what the tree begins with.
            first, heads = heads[0], heads[1:]
            if first["size"] != before or tree.root().hex() != first["root"]:
                raise Bad(f"the period does not begin where head {first['batch_no']} ends")
        waiting = iter(heads)
        head = next(waiting, None)
        with self.zip.open("events.bin") as file:
            for record in records(file):
                if head is None:
                    raise Bad("there are more events than the heads stand for")
                tree.append(leaf_hash(record))
                self.tell(tree.size, record)
                if tree.size == head["size"]:
                    if tree.root().hex() != head["root"]:
                        raise Bad(f"the events up to {tree.size} do not give the signed root")
                    last, head = head, next(waiting, None)
                    if head is not None and head["batch_no"] != last["batch_no"] + 1:
                        raise Bad(f"head {last['batch_no'] + 1} is missing")
        if head is not None:
            raise Bad(f"events are missing from number {tree.size + 1} on")

    def subject(self, heads: list[dict[str, Any]]) -> None:
        by_number = {head["batch_no"]: head for head in heads}
        proofs = [json.loads(line) for line in self.zip.read("proofs.jsonl").splitlines()]
        with self.zip.open("events.bin") as file:
            told = list(records(file))
        if len(told) != len(proofs):
            raise Bad(f"{len(told)} records, but {len(proofs)} proofs")
        for record, proof in zip(told, proofs):  # noqa: B905
            head = by_number.get(proof["batch_no"])
            path = [bytes.fromhex(each) for each in proof["path"]]
            if head is None or not is_included(
                leaf_hash(record), proof["seq"] - 1, head["size"], path, bytes.fromhex(head["root"])
            ):
                raise Bad(f"event {proof['seq']} is not in the log its head stands for")
            if read_record(record)["subject_id"] != self.manifest["scope"]["id"].replace("-", ""):
                raise Bad(f"event {proof['seq']} is about something else")
            self.tell(proof["seq"], record)

    def signatures(self) -> None:
        told = json.loads(self.zip.read("signatures.json"))
        order = told.get("order")
        if order is not None and hashlib.sha256(order.encode()).hexdigest() != told["digest"]:
            raise Bad("the order is not the one that was signed")
        for each in told["signatures"]:
            message = bytes.fromhex(each["signed_bytes"])
            if not message.endswith(bytes.fromhex(told["digest"])):
                raise Bad(f"{each['person']} signed another content")
            verify = {"ed25519": ed25519, "sm2": sm2}[each["algorithm"]]
            if not verify(
                bytes.fromhex(each["public_key"]), message, bytes.fromhex(each["signature"])
            ):
                raise Bad(f"the signature of {each['person']} does not hold")
            self.people += 1

    def tell(self, seq: int, record: bytes) -> None:
        self.events += 1
        if self.show:
            print(seq, json.dumps(read_record(record), ensure_ascii=False))


def main() -> int:
    options = argparse.ArgumentParser(description="Check an evidence pack of Caiwutong.")
    options.add_argument("pack")
    options.add_argument("--key", help="public key of the log, hex; default: the pack's own")
    options.add_argument("--all", action="store_true", help="check every head's signature")
    options.add_argument("--show", action="store_true", help="print what the records say")
    options = options.parse_args()
    try:
        with zipfile.ZipFile(options.pack) as archive:
            own = json.loads(archive.read("manifest.json"))["public_key"]
            pack = Pack(archive, bytes.fromhex(options.key or own), options.all, options.show)
            pack.check()
    except Bad as bad:
        print(f"NOT verified: {bad}")
        return 1
    except Exception as error:  # Whatever is not a pack is not verified.
        print(f"NOT verified: this is no readable pack ({type(error).__name__}: {error})")
        return 1
    print(
        f"verified: {pack.events} events, {pack.heads} heads ({pack.checked} signatures checked), "
        f"{pack.people} people's signatures"
    )
    if not options.key:
        print(f"The key came from the pack itself: compare {own} with one told to you.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
