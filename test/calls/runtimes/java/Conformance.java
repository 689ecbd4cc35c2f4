import java.io.IOException;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import tsfilter.Calls;
import tsfilter.Calls.Method;
import tsfilter.Calls.Payload;

/** What the conformance suite asks of a runtime in Java. */
public final class Conformance {
  private static final Payload NOTHING = new Payload(Calls.NOTHING, new byte[0]);

  private static Map<String, Method> conformance(Payload init) {
    AtomicInteger cancelled = new AtomicInteger();
    Map<String, Method> methods = new HashMap<>();
    methods.put("init", payload -> init);
    methods.put("echo", payload -> payload);
    methods.put(
        "fail",
        payload -> {
          throw new Calls.RemoteException("NOPE", "no: ä€😀");
        });
    methods.put(
        "crash",
        payload -> {
          throw new IllegalStateException("as it comes");
        });
    methods.put(
        "size",
        payload -> {
          byte[] bytes = new byte[Integer.parseInt(payload.text())];
          Arrays.fill(bytes, (byte) 'x');
          return new Payload(Calls.BYTES, bytes);
        });
    methods.put(
        "sleep",
        payload -> {
          try {
            Thread.sleep(Long.parseLong(payload.text()));
          } catch (InterruptedException e) {
            cancelled.incrementAndGet();
          }
          return payload;
        });
    methods.put("cancelled", payload -> Payload.json(cancelled.toString()));
    methods.put(
        "hang",
        payload -> {
          long until = System.nanoTime() + Long.parseLong(payload.text()) * 1_000_000;
          while (System.nanoTime() < until) Thread.onSpinWait();
          return NOTHING;
        });
    methods.put(
        "exit",
        payload -> {
          Runtime.getRuntime().halt(3);
          return NOTHING;
        });
    return methods;
  }

  public static void main(String[] arguments) throws IOException {
    Calls.Part bad =
        init -> {
          throw new IllegalStateException("bad init");
        };
    Calls.serve(Map.of("conformance", Conformance::conformance, "bad", bad), 64);
  }
}
