package writer

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// Owner names whose objects are: a run, say. Its name can be used again, its UID
// cannot. The zero Owner made nothing.
type Owner struct {
	Name string
	UID  types.UID
}

// Meta is the metadata of an object of the owner.
func (o Owner) Meta(namespace, name, role string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: namespace, Name: name,
		Labels:      map[string]string{v1alpha1.LabelRun: o.Name, v1alpha1.LabelRole: role},
		Annotations: map[string]string{v1alpha1.AnnotationRunUID: string(o.UID)},
	}
}

// Made reports whether the owner made the object. A label alone says nothing: it
// may be of an owner that had the name before, or copied by somebody.
func (o Owner) Made(obj metav1.Object) bool {
	return o.UID != "" && obj.GetLabels()[v1alpha1.LabelRun] == o.Name && obj.GetAnnotations()[v1alpha1.AnnotationRunUID] == string(o.UID)
}

// Marks reports whether the object carries one of the owner's marks, so that it
// still is told apart after somebody edited the other off.
func (o Owner) Marks(obj metav1.Object) bool {
	return o.UID != "" && (obj.GetLabels()[v1alpha1.LabelRun] == o.Name || obj.GetAnnotations()[v1alpha1.AnnotationRunUID] == string(o.UID))
}

// NotOursError is a write that would have changed an object of somebody else.
type NotOursError struct{ what string }

func (e *NotOursError) Error() string {
	return e.what + " exists and was not made by this run, so it is left alone: rename or remove it"
}

// NotOurs says that an object is somebody else's.
func NotOurs(kind string, o client.Object) error {
	return &NotOursError{fmt.Sprintf("%s %s/%s", kind, o.GetNamespace(), o.GetName())}
}
