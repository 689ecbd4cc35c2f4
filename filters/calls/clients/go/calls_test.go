package tsfiltercalls

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"
)

type peer struct {
	*testing.T
	connection net.Conn
	ended      chan error
}

func start(t *testing.T, part Part) *peer {
	ours, theirs := net.Pipe()
	p := &peer{t, theirs, make(chan error, 1)}
	_ = theirs.SetDeadline(time.Now().Add(10 * time.Second))
	parts := map[string]func(Payload) (Part, error){"part": func(Payload) (Part, error) { return part, nil }}
	go func() {
		p.ended <- (&server{connection: ours, parts: parts, running: map[uint32]context.CancelFunc{}}).run(16)
		ours.Close()
	}()
	p.expect(hello, Nothing, 0, []byte{0, 1, 0, 0, 0, 16})
	p.send(load, Nothing, 0, []byte("\x04part"))
	p.expect(answer, Nothing, 0, nil)
	return p
}

func (p *peer) send(kind, format byte, id uint32, body []byte) {
	p.Helper()
	frame := binary.BigEndian.AppendUint32(nil, uint32(6+len(body)))
	frame = binary.BigEndian.AppendUint32(append(frame, kind, format), id)
	if _, err := p.connection.Write(append(frame, body...)); err != nil {
		p.Fatal(err)
	}
}

func (p *peer) expect(kind, format byte, id uint32, body []byte) {
	p.Helper()
	head := make([]byte, 10)
	if _, err := io.ReadFull(p.connection, head); err != nil {
		p.Fatal(err)
	}
	rest := make([]byte, binary.BigEndian.Uint32(head)-6)
	if _, err := io.ReadFull(p.connection, rest); err != nil {
		p.Fatal(err)
	}
	if head[4] != kind || head[5] != format || binary.BigEndian.Uint32(head[6:]) != id || !bytes.Equal(rest, body) {
		p.Fatalf("got %v %q", head, rest)
	}
}

func (p *peer) end() error {
	select {
	case err := <-p.ended:
		return err
	case <-time.After(10 * time.Second):
		p.Fatal("it does not end")
		return nil
	}
}

func wait(ctx context.Context, payload Payload) (Payload, error) {
	<-ctx.Done()
	return payload, nil
}

func echo(_ context.Context, payload Payload) (Payload, error) { return payload, nil }

func TestAnswersCalls(t *testing.T) {
	p := start(t, Part{"echo": echo})
	p.send(call, Bytes, 7, []byte("\x04echo\x00\xff"))
	p.expect(answer, Bytes, 7, []byte{0, 0xff})
	p.send(call, Bytes, 8, []byte("\x04elsewhere"))
	p.expect(failure, Bytes, 8, []byte("\x0cCALLS_METHODthere is no method else"))
}

func TestCancelsAndShutsDown(t *testing.T) {
	p := start(t, Part{"wait": wait})
	p.send(call, Nothing, 1, []byte("\x04wait"))
	p.send(shutdown, Nothing, 0, nil)
	p.send(cancel, Nothing, 1, nil)
	p.expect(answer, Nothing, 1, nil)
	if err := p.end(); err != nil && err != io.ErrClosedPipe {
		t.Fatal(err)
	}
}

func TestEndsWithItsConnection(t *testing.T) {
	p := start(t, Part{"wait": wait})
	p.send(call, Nothing, 1, []byte("\x04wait"))
	p.connection.Close()
	if err := p.end(); err != nil {
		t.Fatal(err)
	}
}

func TestEndsAtWhatIsNoFrame(t *testing.T) {
	p := start(t, Part{})
	p.send(99, Nothing, 0, nil)
	if p.end() == nil {
		t.Fatal("no error")
	}
}
