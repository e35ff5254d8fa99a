import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.Channels;
import java.nio.channels.SocketChannel;
import java.util.Set;
import org.apache.thrift.TConfiguration;
import org.apache.thrift.protocol.TBinaryProtocol;
import org.apache.thrift.protocol.TCompactProtocol;
import org.apache.thrift.protocol.TProtocolFactory;
import org.apache.thrift.transport.TIOStreamTransport;
import org.apache.thrift.transport.TSocket;
import org.apache.thrift.transport.TTransport;
import org.apache.thrift.transport.TTransportException;
import org.apache.thrift.transport.TTransportFactory;
import org.apache.thrift.transport.layered.TFramedTransport;

/** The transport and protocol stacks of the Java peer. The library has no THeader. */
record Framing(String name) {
  static final int PATIENCE_MS = 5000;
  private static final Set<String> KNOWN = Set.of("binary", "compact", "framed-binary", "framed-compact",
      "framed-lax", "binary-lax");

  Framing {
    if (!KNOWN.contains(name)) {
      throw new IllegalArgumentException("this peer has no framing " + name);
    }
  }

  TTransportFactory transports() {
    return name.startsWith("framed-") ? new TFramedTransport.Factory() : new TTransportFactory();
  }

  TProtocolFactory protocols() {
    return name.endsWith("compact") ? new TCompactProtocol.Factory() : binary();
  }

  private TProtocolFactory binary() {
    boolean strict = !name.endsWith("-lax"); // lax: without the version word
    return new TBinaryProtocol.Factory(strict, strict);
  }

  /** Opens a caller's connection to host:port or unix:/path. */
  static TTransport dial(String addr) throws IOException, TTransportException {
    if (addr.startsWith("unix:")) {
      SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX);
      channel.connect(UnixDomainSocketAddress.of(addr.substring("unix:".length())));
      return new TIOStreamTransport(Channels.newInputStream(channel), Channels.newOutputStream(channel));
    }
    int colon = addr.lastIndexOf(':');
    TSocket socket = new TSocket(new TConfiguration(), addr.substring(0, colon),
        Integer.parseInt(addr.substring(colon + 1)), PATIENCE_MS);
    socket.open();
    return socket;
  }
}
