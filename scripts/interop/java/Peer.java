import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;

/** The Java side of the interoperability matrix; scripts/interop/peer says what the command line and the lines mean. */
public final class Peer {
  private Peer() {}

  public static void main(String[] args) throws Exception {
    System.setOut(new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8));
    String command = args.length > 0 ? args[0] : "";
    switch (command) {
      case "server" -> Server.serve(List.of(args).subList(1, args.length));
      case "client" -> call();
      default -> {
        System.err.println("usage: Peer server|client …");
        System.exit(2);
      }
    }
  }

  private static void call() throws Exception {
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      String[] word = Arrays.copyOf(line.trim().split("\\s+"), 4);
      System.out.println(Client.run(word[0], word[1], word[2], word[3] == null ? "" : word[3]));
    }
  }
}
