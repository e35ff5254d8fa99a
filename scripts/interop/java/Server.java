import interop.Color;
import interop.Everything;
import interop.Interop;
import interop.InvalidOperation;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.thrift.TException;
import org.apache.thrift.TMultiplexedProcessor;
import org.apache.thrift.server.TThreadPoolServer;
import org.apache.thrift.transport.TServerSocket;

/** Serves any number of framings until stdin ends. */
final class Server {
  private Server() {}

  static void serve(List<String> args) throws TException, IOException {
    String prefix = "";
    Handler handler = new Handler();
    for (int i = 0; i + 1 < args.size(); i += 2) {
      switch (args.get(i)) {
        case "--service" -> prefix = args.get(i + 1);
        case "--serve" -> listen(args.get(i + 1), prefix, handler);
        default -> throw new IllegalArgumentException("unknown flag " + args.get(i));
      }
    }
    System.out.println("ready");
    while (System.in.read() >= 0) {
      // nothing is said here: the end is the message
    }
    Runtime.getRuntime().halt(0);
  }

  private static void listen(String serve, String prefix, Handler handler) throws TException, IOException {
    int eq = serve.indexOf('=');
    Framing framing = new Framing(serve.substring(0, eq));
    String addr = serve.substring(eq + 1);
    if (addr.startsWith("unix:")) {
      throw new IllegalArgumentException("the Java library serves no unix sockets: " + serve);
    }
    int colon = addr.lastIndexOf(':');
    InetSocketAddress bind = new InetSocketAddress(
        InetAddress.getByName(addr.substring(0, colon)), Integer.parseInt(addr.substring(colon + 1)));
    TServerSocket socket = new TServerSocket(bind);
    TMultiplexedProcessor processor = new TMultiplexedProcessor();
    processor.registerDefault(new Interop.Processor<>(handler));
    if (!prefix.isEmpty()) {
      processor.registerProcessor(prefix + "." + framing.name(), new Interop.Processor<>(handler));
    }
    TThreadPoolServer server = new TThreadPoolServer(new TThreadPoolServer.Args(socket)
        .processor(processor).transportFactory(framing.transports()).protocolFactory(framing.protocols())
        .minWorkerThreads(1).maxWorkerThreads(2000));
    new Thread(server::serve, "serve-" + framing.name()).start();
    System.out.println("listening " + framing.name() + " " + bind.getAddress().getHostAddress() + ":"
        + socket.getServerSocket().getLocalPort());
  }

  private static final class Handler implements Interop.Iface {
    private final Map<String, Long> counts = new ConcurrentHashMap<>();

    @Override public void ping() {}

    @Override public String echoString(String s) {
      return s;
    }

    @Override public Everything echoEverything(Everything e) {
      return e;
    }

    @Override public String verify(Everything e) {
      return Sample.differs(e, Sample.sample());
    }

    @Override public Everything sample() {
      return Sample.sample();
    }

    @Override public long add(long a, long b) {
      return a + b;
    }

    @Override public boolean negate(boolean b) {
      return !b;
    }

    @Override public double half(double d) {
      return d / 2;
    }

    @Override public Color nextColor(Color c) {
      return c == Color.RED ? Color.GREEN : c == Color.GREEN ? Color.BLUE : Color.RED;
    }

    @Override public ByteBuffer blob(ByteBuffer b) {
      return b;
    }

    @Override public int divide(int a, int b) throws InvalidOperation {
      if (b == 0) {
        throw new InvalidOperation(22, "divide " + a + " by zero", Map.of("a", Integer.toString(a)));
      }
      return a / b;
    }

    @Override public void notify(String key) {
      counts.merge(key, 1L, Long::sum);
    }

    @Override public long notified(String key) {
      return counts.getOrDefault(key, 0L);
    }

    @Override public void fail() {
      throw new IllegalStateException("failed on purpose");
    }
  }
}
