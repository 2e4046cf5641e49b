package kernel

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// answerTimeout bounds the wait for the kernel's answer to a transaction. The
// kernel answers within the system call; this only ends the wait for an answer
// that was lost.
const answerTimeout = 10 * time.Second

// maxTransaction is a little less than an unprivileged socket may send at once:
// twice net.core.wmem_max, which is 212992 bytes by default.
const maxTransaction = 400 << 10

// link knows the network namespace and keeps two sockets to nftables, one to
// write and one to ask. They stay open: closing one makes the kernel wait until
// what the last transaction removed is destroyed, some 20 ms, with its lock held.
//
// The library's own Flush asks the kernel to confirm every message; a few
// hundred confirmations overflow the socket of an unprivileged process, after
// the transaction was made. So the library only writes the messages here, and
// link sends them and has the last one confirmed.
type link struct {
	ns     int
	writer *netlink.Conn  // nil: to be opened
	asker  *nftables.Conn // nil: to be opened
}

// reader returns the connection for questions.
func (l *link) reader() (*nftables.Conn, error) {
	if l.asker == nil {
		c, err := nftables.New(nftables.WithNetNSFd(l.ns), nftables.AsLasting())
		if err != nil {
			return nil, err
		}
		l.asker = c
	}
	return l.asker, nil
}

// open returns the connection for transactions.
func (l *link) open() (*netlink.Conn, error) {
	if l.writer == nil {
		conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: l.ns})
		if err != nil {
			return nil, err
		}
		if err := conn.SetWriteBuffer(maxTransaction); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		l.writer = conn
	}
	return l.writer, nil
}

// close closes both sockets. The link can be used again.
func (l *link) close() (err error) {
	if l.writer != nil {
		err = l.writer.Close()
	}
	if l.asker != nil {
		err = errors.Join(err, l.asker.CloseLasting())
	}
	l.writer, l.asker = nil, nil
	return err
}

var (
	errCollected = errors.New("collected, not sent")
	errTooLarge  = errors.New("the transaction is too large")
)

// transact sends what fill writes as one batch.
func (l *link) transact(fill func(*nftables.Conn) error) error {
	var batch []netlink.Message
	writer, err := nftables.New(nftables.WithTestDial(func(msgs []netlink.Message) ([]netlink.Message, error) {
		batch = append(batch, msgs...)
		return nil, errCollected
	}))
	if err != nil {
		return err
	}
	if err := fill(writer); err != nil {
		return err
	}
	if err := writer.Flush(); err != nil && !errors.Is(err, errCollected) {
		return fmt.Errorf("write messages: %w", err)
	}
	if len(batch) < 3 { // begin and end alone
		return nil
	}
	return l.send(batch)
}

// send sends a batch (begin, messages, end) and waits for the kernel's answer:
// the confirmation of the last message, or an error of any. On error the kernel
// did nothing of it all; the socket is then given up, because more answers may
// be waiting in it.
func (l *link) send(batch []netlink.Message) error {
	size := 0
	for i := range batch {
		size += len(batch[i].Data) + unix.SizeofNlMsghdr
		h := &batch[i].Header
		h.Flags &^= netlink.Acknowledge | netlink.Echo // the library wants every rule repeated back, too
		h.Sequence, h.PID, h.Length = 0, 0, 0          // SendMessages fills them in
	}
	if size > maxTransaction {
		return fmt.Errorf("%w: %d bytes, and an unprivileged socket may send %d", errTooLarge, size, maxTransaction)
	}
	batch[len(batch)-2].Header.Flags |= netlink.Acknowledge
	conn, err := l.open()
	if err != nil {
		return fmt.Errorf("open netlink socket: %w", err)
	}
	err = conn.SetReadDeadline(time.Now().Add(answerTimeout))
	if err == nil {
		_, err = conn.SendMessages(batch)
	}
	if err == nil {
		_, err = conn.Receive()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("a transaction of %d messages failed: %w", len(batch)-2, err), l.close())
	}
	return nil
}
