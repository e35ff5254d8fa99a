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

const stacks = {
  binary: { transport: thrift.TBufferedTransport, protocol: thrift.TBinaryProtocol },
  compact: { transport: thrift.TBufferedTransport, protocol: thrift.TCompactProtocol },
  "framed-binary": { transport: thrift.TFramedTransport, protocol: thrift.TBinaryProtocol },
  "framed-compact": { transport: thrift.TFramedTransport, protocol: thrift.TCompactProtocol },
  // Servers only: the library's caller side never writes a THeader's sequence or its protocol.
  "theader-binary": { transport: thrift.TBufferedTransport, protocol: THeaderProtocol },
  "theader-compact": { transport: thrift.TBufferedTransport, protocol: THeaderProtocol },
};

function stack(framing) {
  if (!stacks[framing]) throw new Error(`this peer has no framing ${framing}`);
  return stacks[framing];
}

module.exports = { stack };
