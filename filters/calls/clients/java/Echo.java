import java.io.IOException;
import java.util.Map;
import tsfilter.Calls;

/** The demo's runtime: gives back what it is given. */
public final class Echo {
  public static void main(String[] arguments) throws IOException {
    Calls.Part echo =
        init -> {
          System.err.println("echo: loaded with " + init.text());
          return Map.of("echo", text -> text);
        };
    Calls.serve(Map.of("echo", echo), 64);
  }
}
