package manifest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// allocated is how many bytes a call allocates, of which no more can have been
// in use at once.
func allocated(call func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	call()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestALargeFileIsRefusedBeforeItIsRead(t *testing.T) {
	t.Chdir(t.TempDir())
	file, err := os.Create("huge.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.Truncate(200 << 20); err != nil { // sparse: it takes no room
		t.Fatal(err)
	}
	used := allocated(func() { _, err = Read([]string{"huge.yaml"}, nil, Options{}) })
	const want = "huge.yaml: has 200 MiB, more than the 32 MiB that one file may have: split it"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if used > 1<<20 {
		t.Errorf("%d bytes allocated to refuse it", used)
	}
}

func TestAStreamWithoutEndIsRefused(t *testing.T) {
	var err error
	used := allocated(func() { _, err = Read([]string{"-"}, endless{}, Options{MaxFile: 1 << 20}) })
	if want := "-: is longer than the 1 MiB that one file may have: split it"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if used > 16<<20 {
		t.Errorf("%d bytes allocated to refuse it", used)
	}
}

type endless struct{}

func (endless) Read(into []byte) (int, error) {
	for i := range into {
		into[i] = '#'
	}
	return len(into), nil
}

func TestTogetherFilesAreBoundedToo(t *testing.T) {
	t.Chdir(t.TempDir())
	for i := range 4 {
		if err := os.WriteFile(fmt.Sprintf("%d.yaml", i), bytes.Repeat([]byte("#\n"), 500), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Read([]string{"."}, nil, Options{MaxFile: 1000, MaxTotal: 3500})
	if want := "3.yaml: with it the input is longer than 3500 bytes: name fewer files"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestHostileTextTakesBoundedMemory reads what multiplies: each of these is a
// few bytes to megabytes of text that would be gigabytes if it were taken at its word.
func TestHostileTextTakesBoundedMemory(t *testing.T) {
	bomb := "a0: &a0 [x]\n"
	for i := 1; i < 200; i++ {
		bomb += fmt.Sprintf("a%d: &a%d [*a%d, *a%d, *a%d]\n", i, i, i-1, i-1, i-1)
	}
	merge := "m0: &m0 {a: b}\n"
	for i := 1; i < 200; i++ {
		merge += fmt.Sprintf("m%d: &m%d {<<: [*m%d, *m%d]}\n", i, i, i-1, i-1)
	}
	for _, tt := range []struct{ name, text, want string }{
		{"alias bomb", "apiVersion: v1\nkind: ConfigMap\n" + bomb, "-:29: aliases add more than 100000 values, this one (*a25) the most: write out what is meant"},
		{"bomb of merge keys", "apiVersion: v1\nkind: Pod\n" + merge, "-:42: aliases add more than 100000 values, this one (*m38) the most: write out what is meant"},
		{"very many values", "a: [" + strings.Repeat("a,", 14<<20) + "]", "-:1: one document with more than 2000000 values: split it with ---, or write it as JSON"},
		{"very many documents", strings.Repeat("{}\n", maxDocuments+10), "-: with it the input has more than 200000 objects"},
		{"very deep", "a: " + strings.Repeat("[", 1<<20), "-:1: is not YAML: exceeded max depth of 10000"},
		{"very deep JSON", `{"apiVersion": "v1", "kind": "Pod", "a": ` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + "}", "-:1: is not JSON: nested more than 100 levels deep"},
		{"very many problems", "apiVersion: v1\nkind: Pod\n" + strings.Repeat("a: b\n", 100_000), "and 980 more"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var err error
			used := allocated(func() { _, err = ReadStream("-", strings.NewReader(tt.text), Options{}) })
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %.400v, want %s", err, tt.want)
			}
			if limit := uint64(256 << 20); used > limit {
				t.Errorf("%d MiB allocated, more than %d MiB", used>>20, limit>>20)
			}
		})
	}
}

func TestWhatCannotBeReadIsNamed(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, err := range []error{
		os.Mkdir("empty", 0o700),
		os.Mkdir("dir", 0o700), os.Symlink("../gone", "dir/dangling.yaml"),
		os.Mkdir("pipe", 0o700), unix.Mkfifo("pipe/pipe.yaml", 0o600),
		os.Mkdir("device", 0o700), os.Symlink("/dev/zero", "device/zero.yaml"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ path, want string }{
		{"gone.yaml", "gone.yaml: cannot be read: no such file or directory"},
		{"empty", "nothing to judge: 0 files without a policy, a pod or a workload"},
		{"dir", "dir/dangling.yaml: cannot be read: no such file or directory"},
		{"pipe", "pipe/pipe.yaml: is a pipe, not a file: name a file, or send what it holds to stdin and name -"},
		{"device", "device/zero.yaml: is a device, not a file: name a file, or send what it holds to stdin and name -"},
		{"a\x1b[2Jb", `"a\x1b[2Jb": cannot be read: no such file or directory`},
	} {
		_, err := Read([]string{tt.path}, nil, Options{})
		problems(t, err)
		if err.Error() != tt.want {
			t.Errorf("%s: got %q, want %q", tt.path, err, tt.want)
		}
	}
	if _, err := Read(nil, nil, Options{}); err == nil || !strings.HasPrefix(err.Error(), "there is no input") {
		t.Errorf("no path at all: %v", err)
	}
	if _, err := Read([]string{"-"}, nil, Options{}); err == nil {
		t.Error("no stdin: no error")
	}
}

// TestAnUnreadableDirectoryIsNamed gives up the right of root to read
// everything, on a thread that ends with the test.
func TestAnUnreadableDirectoryIsNamed(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "good.yaml", pod("a"))
	write(t, "shut/pod.yaml", pod("b"))
	write(t, "file.yaml", pod("c"))
	for _, err := range []error{os.Chmod("shut", 0), os.Chmod("file.yaml", 0)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.Chmod("shut", 0o700) })
	got := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		none := [2]unix.CapUserData{}
		if err := unix.Capset(&header, &none[0]); err != nil {
			got <- err
			return
		}
		_, err := Read([]string{"."}, nil, Options{})
		got <- err
	}()
	const want = "file.yaml: cannot be read: permission denied\nshut: cannot be read: permission denied"
	if err := <-got; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestLinksAreFollowedOnce(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "real/pod.yaml", pod("a"))
	for _, err := range []error{
		os.Symlink("..", "real/up"), os.Symlink("real", "again"), os.Symlink("pod.yaml", "real/same.yaml"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	set, err := Read([]string{".", "real"}, nil, Options{})
	if err != nil || len(set.Pods) != 1 {
		t.Fatalf("%v", err)
	}
	var notes []string
	for _, n := range set.Notes {
		if strings.Contains(n.Message, "read already") {
			notes = append(notes, n.File)
		}
	}
	if got := strings.Join(notes, " "); got != "again/same.yaml again/up real real" {
		t.Errorf("notes about %q", got)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func pod(name string) string {
	return "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name + "}\nspec: {containers: [{name: a}]}\n"
}
