package report

import (
	"fmt"
	"reflect"
	"testing"
	"time"
)

// maxConfigMap is what the API server lets a ConfigMap hold, in bytes.
const maxConfigMap = 1 << 20

// A report fits into its ConfigMap whatever the number of its paths, and comes
// back as it was.
func TestStoredReports(t *testing.T) {
	for _, paths := range []int{0, 10, 1400, 8192} {
		t.Run(fmt.Sprint(paths, " paths"), func(t *testing.T) {
			r := &Report{Run: "gateway-lockdown-3f9c1a2b", Result: "Committed"}
			seen := time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)
			for i := range paths {
				r.Paths = append(r.Paths, Path{
					Name: fmt.Sprintf("chat-api to payments backend number %d", i), From: Workload{"applications", "chat-api"},
					To: Service{"payments", fmt.Sprintf("backend-%d", i)}, Port: 8080, Protocol: "TCP", Via: "PodIP", Expect: "Allow",
					Finding: Holds, Attempts: int64(100000 + 7*i), FirstSeen: seen.Add(time.Duration(i) * time.Millisecond), LastSeen: seen.Add(time.Hour),
				})
			}
			data, binary, err := Store(r)
			if err != nil {
				t.Fatal(err)
			}
			size := len(data[storedKey]) + len(binary[packedKey])
			if size == 0 || size > maxConfigMap*3/4 {
				t.Errorf("%d bytes stored; a ConfigMap holds %d, and there is more in it", size, maxConfigMap)
			}
			back, err := Stored(data, binary)
			if err != nil || !reflect.DeepEqual(back, r) {
				t.Errorf("came back as %+v, %v", back, err)
			}
		})
	}
}

func TestStoredReportsThatAreNone(t *testing.T) {
	for name, in := range map[string]struct {
		data   map[string]string
		binary map[string][]byte
	}{
		"no JSON":       {data: map[string]string{storedKey: "{"}},
		"not gzip":      {binary: map[string][]byte{packedKey: []byte("x")}},
		"broken stream": {binary: map[string][]byte{packedKey: {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff}}},
	} {
		if r, err := Stored(in.data, in.binary); err == nil {
			t.Errorf("%s: read as %+v", name, r)
		}
	}
	if r, err := Stored(nil, nil); err != nil || r.Result != "" {
		t.Errorf("nothing stored: %+v, %v", r, err)
	}
}
