import interop.Color;
import interop.Everything;
import interop.Point;
import interop.Shape;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.stream.Collectors;

/** The one value that every peer builds by hand; see interop.thrift. */
final class Sample {
  private Sample() {}

  static byte[] everyByte() {
    byte[] b = new byte[256];
    for (int i = 0; i < b.length; i++) {
      b[i] = (byte) i;
    }
    return b;
  }

  static Shape shape() {
    return new Shape(
        new Point(1, -2).setLabel("c"),
        List.of(new Point(0, 0), new Point(3, 4).setLabel("far")),
        Map.of("a", new Point(5, 6)),
        List.of(List.of(1, 2), List.of(), List.of(3)),
        Map.of("s", List.of(1L, -1L)));
  }

  static Everything sample() {
    List<String> lines = new ArrayList<>();
    for (int i = 0; i < 20; i++) {
      lines.add("line " + i);
    }
    return new Everything()
        .setYes(true).setNo(false).setFarYes(true).setFarNo(false)
        .setTiny((byte) -7).setSmall((short) -12345).setMedium(123456789).setFar(-5).setBack(60)
        .setLarge((1L << 53) + 1).setLeast(Long.MIN_VALUE)
        .setReal(-0.1)
        .setText("grüße, 世界 🌍")
        .setRaw(everyByte())
        .setColor(Color.BLUE)
        .setBools(List.of(true, false, false, true))
        .setFlags(Map.of("on", true, "off", false))
        .setLongs(List.of(0L, -1L, 1L, Long.MAX_VALUE, Long.MIN_VALUE))
        .setReals(List.of(0.5, -1.5, 3.141592653589793, 1e300))
        .setNumbers(Set.of(-3, 0, 2000000000))
        .setWords(Set.of("", "alpha", "beta"))
        .setNames(Map.of(-1, "minus", 0, "", 7, "seven"))
        .setCounts(Map.of("big", 1L << 40, "small", -2L))
        .setLines(lines)
        .setColors(List.of(Color.RED, Color.BLUE, Color.GREEN))
        .setBlobs(List.of(
            ByteBuffer.wrap(new byte[] {}), ByteBuffer.wrap(new byte[] {0, -1}),
            ByteBuffer.wrap(new byte[] {'a', 'b', 'c'})))
        .setShape(shape())
        .setNoList(List.of()).setNoSet(Set.of()).setNoMap(Map.of()).setNoPoints(List.of()).setNoText("")
        .setNoRaw(new byte[] {});
  }

  /** Returns "" when both are equal, else the fields that are not. */
  static String differs(Everything got, Everything want) {
    if (got == null) {
      return "nothing arrived";
    }
    if (got.equals(want)) {
      return "";
    }
    return Arrays.stream(Everything._Fields.values())
        .filter(f -> !Objects.equals(got.getFieldValue(f), want.getFieldValue(f)))
        .map(f -> f.getFieldName() + ": got " + got.getFieldValue(f) + ", want " + want.getFieldValue(f))
        .collect(Collectors.joining("; "));
  }
}
