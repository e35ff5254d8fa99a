// The one value that every peer builds by hand; see interop.thrift.
"use strict";

const Int64 = require("node-int64");
const { Color, Everything, Point, Shape } = require("interop_types");

// The library reads and writes i64 as Int64; BigInt is what JavaScript calculates with.
function int64(n) {
  const b = Buffer.alloc(8);
  b.writeBigInt64BE(BigInt.asIntN(64, BigInt(n)));
  return new Int64(b);
}

function bigint(n) {
  return typeof n === "number" ? BigInt(n) : BigInt.asIntN(64, BigInt("0x" + n.toOctetString()));
}

function point(x, y, label) {
  return new Point(label === undefined ? { x, y } : { x, y, label });
}

function shape() {
  return new Shape({
    centre: point(1, -2, "c"),
    corners: [point(0, 0), point(3, 4, "far")],
    named: { a: point(5, 6) },
    grid: [[1, 2], [], [3]],
    series: { s: [int64(1), int64(-1)] },
  });
}

const everyByte = Buffer.from(Array.from({ length: 256 }, (_, i) => i));

function sample() {
  const least = -(2n ** 63n);
  return new Everything({
    yes: true, no: false, farYes: true, farNo: false,
    tiny: -7, small: -12345, medium: 123456789, far: -5, back: 60,
    large: int64(2n ** 53n + 1n), least: int64(least),
    real: -0.1,
    text: "grüße, 世界 🌍",
    raw: everyByte,
    color: Color.BLUE,
    bools: [true, false, false, true],
    flags: { on: true, off: false },
    longs: [0n, -1n, 1n, 2n ** 63n - 1n, least].map(int64),
    reals: [0.5, -1.5, 3.141592653589793, 1e300],
    numbers: [-3, 0, 2000000000],
    words: ["", "alpha", "beta"],
    names: { "-1": "minus", 0: "", 7: "seven" },
    counts: { big: int64(2n ** 40n), small: int64(-2) },
    lines: Array.from({ length: 20 }, (_, i) => "line " + i),
    colors: [Color.RED, Color.BLUE, Color.GREEN],
    blobs: [Buffer.alloc(0), Buffer.from([0x00, 0xff]), Buffer.from("abc")],
    shape: shape(),
    noList: [], noSet: [], noMap: {}, noPoints: [], noText: "", noRaw: Buffer.alloc(0),
  });
}

// One text for equal values: maps in key order, i64 as numbers, bytes as hex, unset fields left out.
function canonical(v) {
  if (v instanceof Int64) return "i64 " + bigint(v);
  if (Buffer.isBuffer(v)) return "bytes " + v.toString("hex");
  if (Array.isArray(v)) return v.map(canonical);
  if (v === null || typeof v !== "object") return v;
  const set = Object.keys(v).filter((k) => v[k] !== null && v[k] !== undefined);
  return Object.fromEntries(set.sort().map((k) => [k, canonical(v[k])]));
}

// Returns "" when both are equal, else the fields that are not. Sets are arrays here and arrive in any order.
function differs(got, want) {
  if (!got) return "nothing arrived";
  const [a, b] = [got, want].map((e) => {
    const c = canonical(e);
    c.numbers = (c.numbers || []).sort((x, y) => x - y);
    c.words = (c.words || []).sort();
    return c;
  });
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  const text = (v) => JSON.stringify(v);
  return [...keys]
    .filter((k) => text(a[k]) !== text(b[k]))
    .map((k) => `${k}: got ${text(a[k])}, want ${text(b[k])}`)
    .join("; ");
}

module.exports = { sample, shape, everyByte, differs, canonical, int64, bigint };
