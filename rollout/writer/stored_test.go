package writer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/tightrope-dev/tightrope/rollout/writer"
)

// store is one pod behind an API server that says conflict as every one does. The first
// write is done, and its answer comes never: its twin meets what it did.
type store struct {
	mu     sync.Mutex
	pod    *corev1.Pod // nil: none
	writes int
	edit   bool // somebody else writes between the two
}

func (s *store) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/livez" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := schema.GroupResource{Resource: "pods"}
	if r.Method == http.MethodGet {
		if s.pod == nil {
			refuse(w, apierrors.NewNotFound(name, "p"))
			return
		}
		answer(w, http.StatusOK, s.pod)
		return
	}
	s.writes++
	var sent corev1.Pod
	raw, _ := io.ReadAll(r.Body)
	var options metav1.DeleteOptions
	if r.Method == http.MethodDelete {
		_ = json.Unmarshal(raw, &options)
		sent.ResourceVersion = *options.Preconditions.ResourceVersion
	} else if err := json.Unmarshal(raw, &sent); err != nil {
		panic(err)
	}
	switch {
	case r.Method == http.MethodPost && s.pod != nil:
		refuse(w, apierrors.NewAlreadyExists(name, "p"))
		return
	case r.Method != http.MethodPost && sent.ResourceVersion != s.pod.ResourceVersion:
		refuse(w, apierrors.NewConflict(name, "p", errors.New("another version")))
		return
	}
	s.do(r, &sent)
	if s.writes == 1 {
		if s.edit {
			s.pod.ResourceVersion, s.pod.Labels, s.pod.Status.Message, s.pod.DeletionTimestamp = "9", map[string]string{"by": "another"}, "x", nil
		}
		s.mu.Unlock()
		<-r.Context().Done() // the answer is lost
		s.mu.Lock()
		return
	}
	answer(w, http.StatusOK, s.pod)
}

func (s *store) do(r *http.Request, sent *corev1.Pod) {
	next := "2"
	switch r.Method {
	case http.MethodPost:
		s.pod = sent
		s.pod.UID, s.pod.Status.Phase = "first", corev1.PodPending // what the API server fills in is no difference
	case http.MethodPut:
		s.pod = sent
	case http.MethodPatch:
		s.pod.Labels = sent.Labels
	case http.MethodDelete:
		s.pod.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
	}
	s.pod.ResourceVersion = next
	s.pod.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
}

func refuse(w http.ResponseWriter, err *apierrors.StatusError) {
	status := err.Status()
	status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	answer(w, int(status.Code), status)
}

// What a hedged write did itself is no conflict; what somebody else did is one.
func TestAWriteThatMeetsItsTwinIsDone(t *testing.T) {
	value := "v"
	for name, do := range map[string]func(ctx context.Context, w *writer.Writer, pod *corev1.Pod) error{
		"create": func(ctx context.Context, w *writer.Writer, pod *corev1.Pod) error {
			pod.UID, pod.ResourceVersion = "", ""
			return w.Create(ctx, pod)
		},
		"update": func(ctx context.Context, w *writer.Writer, pod *corev1.Pod) error { return w.Update(ctx, pod) },
		"status": func(ctx context.Context, w *writer.Writer, pod *corev1.Pod) error {
			pod.Status.Message = "done"
			return w.UpdateStatus(ctx, pod)
		},
		"relabel": func(ctx context.Context, w *writer.Writer, pod *corev1.Pod) error {
			return w.Relabel(ctx, pod, map[string]*string{"l": &value}, nil)
		},
		"delete": func(ctx context.Context, w *writer.Writer, pod *corev1.Pod) error { return w.DeleteAsRead(ctx, pod) },
	} {
		for _, edited := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, edited %v", name, edited), func(t *testing.T) {
				t.Parallel()
				s := store{edit: edited}
				if name != "create" {
					s.pod = aPod("first", nil)
					s.pod.ResourceVersion = "1"
				}
				link := lanesOf(t, serveTLS(t, s.serve).cfg)
				pod := aPod("first", map[string]string{"app": "x"})
				pod.ResourceVersion = "1"
				err := do(t.Context(), link.Write, pod)
				if refused := apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err); refused != edited || err != nil && !edited {
					t.Errorf("got %v, want a refusal: %v", err, edited)
				}
				if s.writes < 2 { // on a busy machine the first lane may be found dead, and sends it once more
					t.Errorf("%d writes arrived, want two at least", s.writes)
				}
				if want := map[string]bool{"create": true, "update": true, "status": true}; want[name] && !edited && pod.ResourceVersion != "2" {
					t.Errorf("the object says version %q, want what is stored", pod.ResourceVersion)
				}
			})
		}
	}
}
