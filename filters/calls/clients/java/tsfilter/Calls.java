package tsfilter;

import java.io.EOFException;
import java.io.IOException;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.util.*;
import java.util.concurrent.*;

/** The Java end of PROTOCOL.md: serves methods to the host that has started this program. */
public final class Calls {
  public static final int NOTHING = 0, BYTES = 1, JSON = 2;
  private static final int HELLO = 1, LOAD = 2, CALL = 3, ANSWER = 4, ERROR = 5, CANCEL = 6, SHUTDOWN = 7;
  private static final int VERSION = 1, WINDOW = 1024, MAX_FRAME = 16 << 20, HEADER = 10;

  /** What crosses. JSON is left as text: take the library that you like. */
  public record Payload(int format, byte[] bytes) {
    public static Payload json(String text) {
      return new Payload(JSON, text.getBytes(StandardCharsets.UTF_8));
    }

    public String text() {
      return new String(bytes, StandardCharsets.UTF_8);
    }
  }

  /** Runs on a thread of the pool, which is interrupted when nobody waits for the answer any more. */
  public interface Method { Payload call(Payload payload) throws Exception; }

  /** Makes the methods that one load gets. */
  public interface Part { Map<String, Method> load(Payload init) throws Exception; }

  /** Thrown by a method: the caller sees its code. Other exceptions have the code FAILED. */
  public static final class RemoteException extends Exception {
    final String code;

    public RemoteException(String code, String message) {
      super(message);
      this.code = code;
    }
  }

  private final SocketChannel channel;
  private final Map<String, Part> parts;
  private final ExecutorService pool;
  private final ByteBuffer input = ByteBuffer.allocate(1 << 16).flip();
  private final Map<Integer, FutureTask<Payload>> running = new HashMap<>(); // with what follows, and writing: under this object's lock
  private Map<String, Method> methods;
  private boolean isEnding;

  private Calls(SocketChannel channel, Map<String, Part> parts, ExecutorService pool) {
    this.channel = channel;
    this.parts = parts;
    this.pool = pool;
  }

  /** Serves until the host wants no more; throws when the host breaks the protocol. */
  public static void serve(Map<String, Part> parts, int threads) throws IOException {
    serve(SocketChannel.open(UnixDomainSocketAddress.of(System.getenv("TS_FILTER_CALLS"))), parts, threads);
  }

  static void serve(SocketChannel channel, Map<String, Part> parts, int threads) throws IOException {
    ExecutorService pool = Executors.newFixedThreadPool(threads);
    try (channel) {
      new Calls(channel, parts, pool).run();
    } finally {
      pool.shutdownNow();
    }
  }

  private void run() throws IOException {
    write(HELLO, NOTHING, 0, ByteBuffer.allocate(6).putShort((short) VERSION).putInt(WINDOW).array());
    for (byte[] bytes; (bytes = take(HEADER, true)) != null; ) {
      ByteBuffer head = ByteBuffer.wrap(bytes);
      int length = head.getInt(), kind = head.get(), format = head.get(), id = head.getInt();
      if (length < HEADER - 4 || length > MAX_FRAME || format < NOTHING || format > JSON)
        throw new IOException("not a frame: length " + length + ", format " + format);
      handle(kind, format, id, take(length - (HEADER - 4), false));
    }
  }

  /** The next bytes; null at the end, where there may be one. */
  private byte[] take(int count, boolean mayEnd) throws IOException {
    byte[] bytes = new byte[count];
    for (int at = 0, part; at < count; at += part) {
      if (!input.hasRemaining()) {
        int read = channel.read(input.clear());
        input.flip();
        if (read < 0 && mayEnd && at == 0) return null;
        if (read < 0) throw new EOFException("half a frame");
      }
      part = Math.min(count - at, input.remaining());
      input.get(bytes, at, part);
    }
    return bytes;
  }

  private synchronized void handle(int kind, int format, int id, byte[] body) throws IOException {
    FutureTask<Payload> one = running.get(id);
    if (kind == CANCEL && body.length == 0) {
      if (one != null) one.cancel(true);
    } else if (kind == SHUTDOWN && body.length == 0) {
      isEnding = true;
      if (running.isEmpty()) channel.shutdownInput();
    } else if (kind == LOAD && methods == null || kind == CALL && methods != null && one == null) {
      int end = 1 + (body.length == 0 ? 0 : body[0] & 255);
      if (end > body.length) throw new IOException("a name is longer than its frame");
      String name = new String(body, 1, end - 1, StandardCharsets.UTF_8);
      Payload payload = new Payload(format, Arrays.copyOfRange(body, end, body.length));
      if (kind == LOAD) {
        load(name, payload);
      } else {
        FutureTask<Payload> task = new FutureTask<>(() -> call(name, payload)) {
          @Override
          protected void done() {
            finish(id, this);
          }
        };
        running.put(id, task);
        pool.execute(task);
      }
    } else {
      throw new IOException("kind " + kind + " is not due");
    }
  }

  private void load(String name, Payload init) {
    try {
      if (!parts.containsKey(name)) throw new IllegalArgumentException("there is no part " + name);
      methods = parts.get(name).load(init);
      write(ANSWER, NOTHING, 0, new byte[0]);
    } catch (Exception e) {
      fail(0, "CALLS_LOAD_FAILED", e);
    }
  }

  private Payload call(String name, Payload payload) throws Exception {
    Method method = methods.get(name);
    if (method == null) throw new RemoteException("CALLS_METHOD", "there is no method " + name);
    Payload answer = method.call(payload);
    if (answer.bytes.length <= MAX_FRAME - (HEADER - 4)) return answer;
    throw new RemoteException("CALLS_TOO_LARGE", "the answer has " + answer.bytes.length + " bytes");
  }

  private synchronized void finish(int id, FutureTask<Payload> task) {
    running.remove(id);
    try {
      Payload answer = task.get();
      write(ANSWER, answer.format, id, answer.bytes);
    } catch (ExecutionException e) {
      fail(id, "FAILED", e.getCause());
    } catch (Exception e) {
      fail(id, "CANCELLED", e);
    }
  }

  private void fail(int id, String otherwise, Throwable e) {
    byte[] code = (e instanceof RemoteException remote ? remote.code : otherwise).getBytes(StandardCharsets.UTF_8);
    byte[] message = String.valueOf(e.getMessage()).getBytes(StandardCharsets.UTF_8);
    int length = Math.min(message.length, 65536);
    ByteBuffer body = ByteBuffer.allocate(1 + code.length + length);
    write(ERROR, BYTES, id, body.put((byte) code.length).put(code).put(message, 0, length).array());
  }

  private synchronized void write(int kind, int format, int id, byte[] body) {
    ByteBuffer frame = ByteBuffer.allocate(HEADER + body.length).putInt(HEADER - 4 + body.length);
    frame.put((byte) kind).put((byte) format).putInt(id).put(body).flip();
    try {
      while (frame.hasRemaining()) channel.write(frame);
      if (isEnding && running.isEmpty()) channel.shutdownInput(); // the reader comes to its end
    } catch (IOException e) {
      // nobody is there any more; the reader sees it, too
    }
  }
}
