package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// The test's own binary is the image of pods that call others so often that a few
// hundredths of a second show, which no stand-in does.
const (
	callerImage  = "tightrope.dev/caller"
	callerWord   = "call" // the first argument, which makes the binary a caller
	callerPort   = "6566" // where a caller answers everybody
	callPause    = 20 * time.Millisecond
	callPatience = 400 * time.Millisecond // shorter than the second after which a SYN is sent again
)

// attempt is one connection that a caller tried, and one line of its log.
type attempt struct {
	To     string
	Began  time.Time
	Ended  time.Time
	Passed bool
}

// caller answers, and connects to every target again and again, until it is killed.
func caller(targets []string) error {
	var mu sync.Mutex
	lines := json.NewEncoder(os.Stdout)
	for _, to := range targets {
		go func() {
			for range time.Tick(callPause) {
				go func() {
					a := attempt{To: to, Began: time.Now()}
					conn, err := net.DialTimeout("tcp", to, callPatience)
					a.Ended, a.Passed = time.Now(), err == nil
					if a.Passed {
						conn.Close()
					}
					mu.Lock()
					defer mu.Unlock()
					_ = lines.Encode(a)
				}()
			}
		}()
	}
	return http.ListenAndServe(":"+callerPort, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "{}") }))
}
