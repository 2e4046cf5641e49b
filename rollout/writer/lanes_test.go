package writer_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/rollout/writer"
)

// tlsServer serves HTTP/2 over TLS, as an API server does, and knows which connections
// carried what.
type tlsServer struct {
	cfg *rest.Config

	mu    sync.Mutex
	conns map[string]bool // by the client's address, of HTTP/2 requests
	other []string        // protocols that were not HTTP/2
}

func serveTLS(t *testing.T, h http.HandlerFunc) *tlsServer {
	t.Helper()
	s := &tlsServer{conns: map[string]bool{}}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.conns[r.RemoteAddr] = true
		if r.ProtoMajor != 2 {
			s.other = append(s.other, r.Proto)
		}
		s.mu.Unlock()
		h(w, r)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	s.cfg = &rest.Config{Host: server.URL, BearerToken: "ours", QPS: -1, TLSClientConfig: rest.TLSClientConfig{CAData: ca}}
	s.cfg.ContentType = "application/json"
	return s
}

// seen returns how many connections there were since it was asked last.
func (s *tlsServer) seen(t *testing.T) map[string]bool {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.other) > 0 {
		t.Fatalf("requests came over %v, want HTTP/2", s.other)
	}
	was := s.conns
	s.conns = map[string]bool{}
	return was
}

// podsOnly knows where pods are, so that no client asks the server.
func podsOnly() client.Options {
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(corev1.SchemeGroupVersion.WithKind("Pod"), meta.RESTScopeNamespace)
	return client.Options{Mapper: mapper}
}

func answer(w http.ResponseWriter, code int, o any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(o)
}

func servePod(w http.ResponseWriter, r *http.Request) {
	pod := aPod("first", nil)
	pod.ResourceVersion = "1"
	pod.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
	answer(w, http.StatusOK, pod)
}

func lanesOf(t *testing.T, cfg *rest.Config) writer.Link {
	t.Helper()
	lanes, err := writer.NewLanes(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- lanes.Start(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	link, err := lanes.Link(podsOnly(), writer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return link
}

// client-go shares one connection among equal configurations, also between copies of
// one and whoever they impersonate. Lanes share with nobody, and not with each other.
func TestCopiesOfAConfigurationShareOneConnectionAndLanesDoNot(t *testing.T) {
	s := serveTLS(t, servePod)
	account, err := writer.Impersonate(s.cfg, types.NamespacedName{Namespace: "a", Name: "r"})
	if err != nil {
		t.Fatal(err)
	}
	var clients []client.Client // client-go forgets the connection of clients that are collected
	for _, cfg := range []*rest.Config{s.cfg, rest.CopyConfig(s.cfg), account} {
		c, err := client.New(cfg, podsOnly())
		if err != nil {
			t.Fatal(err)
		}
		read(t, c)
		clients = append(clients, c)
	}
	runtime.KeepAlive(clients)
	shared := s.seen(t)
	if len(shared) != 1 {
		t.Fatalf("copies of a configuration used %d connections; they are said to share one", len(shared))
	}
	restoring, deciding := lanesOf(t, s.cfg), lanesOf(t, rest.CopyConfig(s.cfg))
	own := map[string]bool{}
	for len(own) < 4 { // they warm up by themselves
		if t.Context().Err() != nil {
			t.Fatalf("two pairs of lanes have %d connections", len(own))
		}
		for addr := range s.seen(t) {
			own[addr] = true
		}
	}
	for range 20 {
		for _, link := range []writer.Link{restoring, deciding} {
			pod := aPod("", nil)
			if err := errors.Join(link.Read.Get(t.Context(), client.ObjectKeyFromObject(pod), pod), link.Write.Update(t.Context(), pod)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for addr := range s.seen(t) {
		if !own[addr] {
			t.Errorf("a lane used a connection that is not one of the four: %s", addr)
		}
		if shared[addr] {
			t.Error("a lane used the shared connection")
		}
	}
}

// holes make connections that can be told to answer nothing any more: bytes go in, and
// nothing comes back, as where a firewall has forgotten a connection.
type holes struct {
	mu    sync.Mutex
	conns []*holed
}

type holed struct {
	net.Conn
	dead   atomic.Bool
	closed chan struct{}
	once   sync.Once
}

func (h *holes) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &holed{Conn: conn, closed: make(chan struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns = append(h.conns, c)
	return c, nil
}

// swallow makes the connection of that local address a hole.
func (h *holes) swallow(t *testing.T, addr string) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.conns {
		if c.LocalAddr().String() == addr {
			c.dead.Store(true)
			return
		}
	}
	t.Fatalf("no connection from %s", addr)
}

func (c *holed) Write(b []byte) (int, error) {
	if c.dead.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *holed) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.dead.Load() {
		<-c.closed
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *holed) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// A connection that swallows what it is given costs half a second, once: the write
// lands over the other one, and those that follow go there at once.
func TestAWriteLandsOverTheOtherLaneWhenOneAnswersNothing(t *testing.T) {
	var last atomic.Value // address of the newest write
	s := serveTLS(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			last.Store(r.RemoteAddr)
		}
		servePod(w, r)
	})
	var h holes
	s.cfg.Dial = h.dial
	link := lanesOf(t, s.cfg)
	pod := aPod("", nil)
	write := func() time.Duration {
		began := time.Now()
		if err := link.Write.Update(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
		return time.Since(began)
	}
	if err := link.Read.Get(t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil {
		t.Fatal(err)
	}
	write()
	used := last.Load().(string)
	h.swallow(t, used)
	if took := write(); took < 400*time.Millisecond || took > 900*time.Millisecond {
		t.Errorf("the write took %v, want 500 ms and a round trip", took)
	}
	if got := last.Load().(string); got == used {
		t.Error("the write came over the connection that was a hole")
	}
	if took := write(); took > 400*time.Millisecond {
		t.Errorf("the write after it took %v, want a round trip over the lane that answered", took)
	}
	h.swallow(t, last.Load().(string)) // both are: what is doubted is closed and dialled anew
	if took := write(); took > 3*time.Second {
		t.Errorf("with both lanes dead the write took %v", took)
	}
}

// What nobody refused is sent again; a denial is not.
func TestWhatIsAmbiguousIsRepeatedAndADenialIsNot(t *testing.T) {
	for name, tt := range map[string]struct {
		first func(http.ResponseWriter)
		sent  int64
		ok    bool
	}{
		"429":             {func(w http.ResponseWriter) { w.Header().Set("Retry-After", "1"); w.WriteHeader(429) }, 2, true},
		"500":             {func(w http.ResponseWriter) { w.WriteHeader(500) }, 2, true},
		"503":             {func(w http.ResponseWriter) { w.WriteHeader(503) }, 2, true},
		"a lost answer":   {func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, 2, true},
		"forbidden":       {func(w http.ResponseWriter) { w.WriteHeader(403) }, 1, false},
		"invalid":         {func(w http.ResponseWriter) { w.WriteHeader(422) }, 1, false},
		"no such thing":   {func(w http.ResponseWriter) { w.WriteHeader(404) }, 1, false},
		"no such account": {func(w http.ResponseWriter) { w.WriteHeader(401) }, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var sent atomic.Int64
			link := lanesOf(t, serveTLS(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPut && (sent.Add(1) == 1 || !tt.ok) {
					tt.first(w)
					return
				}
				servePod(w, r)
			}).cfg)
			pod := aPod("first", nil)
			pod.ResourceVersion = "1"
			began := time.Now()
			err := link.Write.Update(t.Context(), pod)
			// What is repeated goes over both lanes, and on a busy machine over one of them once
			// more; a denial that takes as long as a hedge waits is asked for over both, never more.
			late := time.Since(began) >= 500*time.Millisecond
			asWanted := sent.Load() == tt.sent || tt.ok && sent.Load() > tt.sent || late && sent.Load() == 2
			if (err == nil) != tt.ok || !asWanted {
				t.Errorf("%v after %d tries, want success %v after %d", err, sent.Load(), tt.ok, tt.sent)
			}
		})
	}
}

// A server that is down is not dialled in a loop, however many wait for it, and who
// waits is told in the end.
func TestReconnectingBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials atomic.Int64
		cfg := &rest.Config{Host: "https://192.0.2.1", QPS: -1, Dial: func(context.Context, string, string) (net.Conn, error) {
			dials.Add(1)
			return nil, errors.New("refused")
		}}
		lanes, err := writer.NewLanes(cfg)
		if err != nil {
			t.Fatal(err)
		}
		link, err := lanes.Link(podsOnly(), writer.Options{})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				pod := aPod("first", nil)
				pod.ResourceVersion = "1"
				if err := link.Write.Update(t.Context(), pod); err == nil {
					t.Error("a write that nobody took succeeded")
				}
			})
		}
		all.Wait()
		if took := time.Since(began); took < 2*time.Second || took > 31*time.Second {
			t.Errorf("it was given up after %v", took)
		}
		time.Sleep(time.Minute) // what Go's transport dials on for ends, too
		if n := dials.Load(); n < 4 || n > 200 {
			t.Errorf("%d dials of 50 writes over two lanes", n)
		}
	})
}
