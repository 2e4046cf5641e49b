package supervisor

import (
	"io"
	"net"
)

// relay accepts on a listener that belongs to the host's network namespace and
// passes bytes to an address in the lab's. It returns when the listener closes.
func relay(l net.Listener, target string) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			upstream, err := net.Dial("tcp", target)
			if err != nil {
				return
			}
			defer upstream.Close()
			pipe(conn, upstream)
		}()
	}
}

// pipe copies both ways. One side's end of stream is passed on as such, so that
// a client that half-closes still gets its answer.
func pipe(a, b net.Conn) {
	done := make(chan struct{})
	go func() {
		oneWay(a, b)
		close(done)
	}()
	oneWay(b, a)
	<-done
}

func oneWay(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok && err == nil {
		_ = half.CloseWrite()
		return
	}
	to.Close()
	from.Close()
}
