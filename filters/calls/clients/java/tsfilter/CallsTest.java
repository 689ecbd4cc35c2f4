package tsfilter;

import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;

/** Without a library for tests: {@code java -ea -cp ... tsfilter.CallsTest} ends with 0 or says what is wrong. */
public final class CallsTest {
  private static final int HELLO = 1, LOAD = 2, CALL = 3, ANSWER = 4, ERROR = 5, CANCEL = 6, SHUTDOWN = 7;

  private final SocketChannel peer;
  private final CompletableFuture<Void> ended;

  private CallsTest() throws IOException {
    Path folder = Files.createTempDirectory("calls");
    UnixDomainSocketAddress address = UnixDomainSocketAddress.of(folder.resolve("socket"));
    try (ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
      server.bind(address);
      SocketChannel ours = SocketChannel.open(address);
      peer = server.accept();
      Map<String, Calls.Method> methods =
          Map.of(
              "echo", payload -> payload,
              "wait",
                  payload -> {
                    Thread.sleep(60_000);
                    return payload;
                  });
      ended =
          CompletableFuture.runAsync(
              () -> {
                try {
                  Calls.serve(ours, Map.of("part", init -> methods), 2);
                } catch (IOException e) {
                  throw new IllegalStateException(e);
                }
              });
    } finally {
      Files.delete(address.getPath());
      Files.delete(folder);
    }
    expect(HELLO, 0, 0, "\0\1\0\0\4\0");
    send(LOAD, 0, 0, "\4part");
    expect(ANSWER, 0, 0, "");
  }

  private void send(int kind, int format, int id, String body) throws IOException {
    byte[] bytes = body.getBytes(StandardCharsets.ISO_8859_1);
    ByteBuffer frame = ByteBuffer.allocate(10 + bytes.length).putInt(6 + bytes.length).put((byte) kind);
    frame.put((byte) format).putInt(id).put(bytes).flip();
    while (frame.hasRemaining()) peer.write(frame);
  }

  private void expect(int kind, int format, int id, String body) throws IOException {
    ByteBuffer head = read(10);
    byte[] rest = read(head.getInt() - 6).array();
    String got = head.get() + " " + head.get() + " " + head.getInt() + " " + new String(rest, StandardCharsets.ISO_8859_1);
    String wanted = kind + " " + format + " " + id + " " + body;
    assert got.equals(wanted) : got + " is not " + wanted;
  }

  private ByteBuffer read(int count) throws IOException {
    ByteBuffer bytes = ByteBuffer.allocate(count);
    while (bytes.hasRemaining()) if (peer.read(bytes) < 0) throw new IOException("the end");
    return bytes.flip();
  }

  private static void answersCalls() throws Exception {
    CallsTest test = new CallsTest();
    test.send(CALL, Calls.BYTES, 7, "\4echo\0\377");
    test.expect(ANSWER, Calls.BYTES, 7, "\0\377");
    test.send(CALL, Calls.BYTES, 8, "\4elsewhere");
    test.expect(ERROR, Calls.BYTES, 8, "\14CALLS_METHODthere is no method else");
    test.peer.close();
    test.ended.get(10, TimeUnit.SECONDS);
  }

  private static void cancelsAndShutsDown() throws Exception {
    CallsTest test = new CallsTest();
    test.send(CALL, 0, 1, "\4wait");
    test.send(SHUTDOWN, 0, 0, "");
    test.send(CANCEL, 0, 1, "");
    test.expect(ERROR, Calls.BYTES, 1, "\11CANCELLEDnull");
    test.ended.get(10, TimeUnit.SECONDS);
  }

  private static void endsWithItsConnection() throws Exception {
    CallsTest test = new CallsTest();
    test.send(CALL, 0, 1, "\4wait");
    test.peer.close();
    test.ended.get(10, TimeUnit.SECONDS);
  }

  private static void endsAtWhatIsNoFrame() throws Exception {
    CallsTest test = new CallsTest();
    test.send(99, 0, 0, "");
    try {
      test.ended.get(10, TimeUnit.SECONDS);
    } catch (ExecutionException e) {
      return;
    }
    throw new AssertionError("no exception");
  }

  public static void main(String[] arguments) throws Exception {
    answersCalls();
    cancelsAndShutsDown();
    endsWithItsConnection();
    endsAtWhatIsNoFrame();
    System.out.println("4 passed");
  }
}
