// The transport and protocol stacks of the Node.js peer.
"use strict";

const thrift = require("thrift");
const THeaderProtocol = require("thrift/lib/nodejs/lib/thrift/header_protocol");

// npm's thrift (0.22) takes the number that it read for an object and so finds false in every compact list and map of
// booleans. With that put right the peer can be held to all that is in interop.thrift.
const readBool = thrift.TCompactProtocol.prototype.readBool;
thrift.TCompactProtocol.prototype.readBool = function () {
  return this.boolValue_.hasBoolValue ? readBool.call(this) : this.trans.readByte() === 1;
};

// The library's THeader wants the whole head of a frame in one read, and after a frame it looks for the next one in a
// buffer that it has just allocated and not filled. So it is handed whole frames, one at a time, and zeros after each.
class WholeFrames extends thrift.TBufferedTransport {
  static receiver(callback, seqid) {
    let rest = Buffer.alloc(0);
    return (data) => {
      rest = Buffer.concat([rest, data]);
      while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32BE(0)) {
        const end = 4 + rest.readUInt32BE(0);
        const reader = new WholeFrames();
        reader.inBuf = Buffer.from(rest.subarray(0, end));
        reader.writeCursor = end;
        rest = rest.subarray(end);
        callback(reader, seqid);
      }
    };
  }

  commitPosition() {
    super.commitPosition();
    this.inBuf.fill(0, this.writeCursor);
  }
}

const stacks = {
  binary: { transport: thrift.TBufferedTransport, protocol: thrift.TBinaryProtocol },
  compact: { transport: thrift.TBufferedTransport, protocol: thrift.TCompactProtocol },
  "framed-binary": { transport: thrift.TFramedTransport, protocol: thrift.TBinaryProtocol },
  "framed-compact": { transport: thrift.TFramedTransport, protocol: thrift.TCompactProtocol },
  // Servers only: the library's caller side never writes a THeader's sequence or its protocol.
  "theader-binary": { transport: WholeFrames, protocol: THeaderProtocol },
  "theader-compact": { transport: WholeFrames, protocol: THeaderProtocol },
};

function stack(framing) {
  if (!stacks[framing]) throw new Error(`this peer has no framing ${framing}`);
  return stacks[framing];
}

module.exports = { stack };
