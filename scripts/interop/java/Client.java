import interop.Color;
import interop.Everything;
import interop.InvalidOperation;
import interop.Later;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.apache.thrift.TApplicationException;
import org.apache.thrift.protocol.TMultiplexedProtocol;
import org.apache.thrift.protocol.TProtocol;
import org.apache.thrift.transport.TTransport;

/** Runs every check over one connection a target. */
final class Client {
  private Client() {}

  private interface Attempt {
    void run(Later.Client c) throws Exception;
  }

  private record Check(String name, Attempt attempt) {}

  private static final class Failure extends Exception {
    Failure(String what) {
      super(what);
    }
  }

  static String run(String id, String framing, String addr, String service) {
    String at = "connect";
    try (TTransport socket = Framing.dial(addr)) {
      Framing f = new Framing(framing);
      TProtocol proto = f.protocols().getProtocol(f.transports().getTransport(socket));
      Later.Client client =
          new Later.Client(proto, service.isEmpty() ? proto : new TMultiplexedProtocol(proto, service));
      List<Check> all = checks(id);
      for (Check check : all) {
        at = check.name;
        check.attempt.run(client);
      }
      return id + " ok " + all.size();
    } catch (Exception e) { // every failure is the line's answer
      return id + " FAIL " + at + ": " + String.valueOf(e).replace('\n', ' ');
    }
  }

  private static List<Check> checks(String id) {
    return List.of(
        new Check("ping", c -> c.ping()),
        new Check("echo-text", c -> echo(c, "hello")),
        new Check("echo-empty", c -> echo(c, "")),
        new Check("echo-unicode", c -> echo(c, "grüße, 世界 🌍")),
        new Check("echo-large", c -> echo(c, "0123456789".repeat(10_000))),
        new Check("echo-everything", Client::echoEverything),
        new Check("verify", c -> expect(c.verify(Sample.sample()), "")),
        new Check("sample", c -> expect(Sample.differs(c.sample(), Sample.sample()), "")),
        new Check("add", Client::add),
        new Check("negate", Client::negate),
        new Check("half", c -> expect(c.half(-0.1), -0.05)),
        new Check("next-color", Client::nextColor),
        new Check("blob", Client::blob),
        new Check("divide", c -> expect(c.divide(7, 2), 3)),
        new Check("divide-by-zero", Client::divideByZero),
        new Check("fail", c -> appException(
            () -> c.fail(), TApplicationException.UNKNOWN, TApplicationException.INTERNAL_ERROR)),
        new Check("later", c -> appException(
            () -> c.later(1), TApplicationException.UNKNOWN_METHOD, TApplicationException.UNKNOWN)),
        new Check("notify", c -> notify(c, "java-" + id + "-" + System.nanoTime())),
        new Check("add-again", Client::add));
  }

  private static void expect(Object got, Object want) throws Failure {
    if (!Objects.equals(got, want)) {
      throw new Failure("got " + got + ", want " + want);
    }
  }

  private static void echo(Later.Client c, String s) throws Exception {
    String got = c.echoString(s);
    if (!got.equals(s)) {
      throw new Failure(got.length() + " characters came back of " + s.length() + ", or other ones");
    }
  }

  private static void echoEverything(Later.Client c) throws Exception {
    Everything sent = Sample.sample().setYes(false).setNo(true).setReal(1e-300).setText("").setAbsent(Sample.shape());
    sent.setLines(sent.getLines().subList(0, 14));
    expect(Sample.differs(c.echoEverything(sent), sent), "");
  }

  private static void add(Later.Client c) throws Exception {
    long big = (1L << 53) + 1;
    expect(c.add(big, 41), big + 41);
    expect(c.add(-big, -7), -big - 7);
  }

  private static void negate(Later.Client c) throws Exception {
    expect(c.negate(true), false);
    expect(c.negate(false), true);
  }

  private static void nextColor(Later.Client c) throws Exception {
    expect(c.nextColor(Color.GREEN), Color.BLUE);
    expect(c.nextColor(Color.BLUE), Color.RED);
  }

  private static void blob(Later.Client c) throws Exception {
    ByteBuffer all = ByteBuffer.allocate(4096);
    for (int i = 0; i < 16; i++) {
      all.put(Sample.everyByte());
    }
    all.flip();
    expect(c.blob(ByteBuffer.allocate(0)), ByteBuffer.allocate(0));
    expect(c.blob(all.duplicate()), all);
  }

  private static void divideByZero(Later.Client c) throws Exception {
    try {
      c.divide(7, 0);
    } catch (InvalidOperation bad) {
      expect(bad, new InvalidOperation(22, "divide 7 by zero", Map.of("a", "7")));
      return;
    }
    throw new Failure("want InvalidOperation, got a reply");
  }

  private interface Call {
    void run() throws Exception;
  }

  private static void appException(Call call, int... types) throws Exception {
    try {
      call.run();
    } catch (TApplicationException e) {
      for (int t : types) {
        if (t == e.getType()) {
          return;
        }
      }
      throw new Failure("TApplicationException type " + e.getType() + " (" + e.getMessage() + ")");
    }
    throw new Failure("want a TApplicationException, got a reply");
  }

  private static void notify(Later.Client c, String key) throws Exception {
    long begun = System.nanoTime();
    c.notify(key);
    for (;;) {
      long n = c.notified(key);
      if (n == 1) {
        return;
      }
      if (n > 1 || System.nanoTime() - begun > Framing.PATIENCE_MS * 1_000_000L) {
        throw new Failure("the server counted " + n);
      }
      Thread.sleep(5);
    }
  }
}
