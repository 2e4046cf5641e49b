package steer

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
)

// FieldManager owns what is applied. It is not the controller's.
const FieldManager = "tightrope-cli"

// Errors that a caller tells apart.
var (
	// ErrRefused says that nothing was changed, because it cannot be had.
	ErrRefused = errors.New("nothing was changed")
	// ErrNotFound says that there is no rollout and no run of a name.
	ErrNotFound = errors.New("not found")
	// ErrForbidden says which right is missing.
	ErrForbidden = errors.New("a right is missing")
)

// Steerer works on one cluster with the rights of one person.
type Steerer struct{ c client.WithWatch }

// New makes a Steerer for the cluster that the configuration reaches.
func New(cfg *rest.Config) (*Steerer, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, authenticationv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	c, err := client.NewWithWatch(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("cluster at %s: %w", cfg.Host, err)
	}
	return &Steerer{c}, nil
}

// resources of the kinds that are steered, as roles name them.
var resources = map[string]string{
	"PolicyRollout": "policyrollouts.tightrope.dev", "PolicyRolloutRun": "policyrolloutruns.tightrope.dev",
	"ConnectivitySuite": "connectivitysuites.tightrope.dev", "ConfigMap": "configmaps",
	"RolloutApproval": "rolloutapprovals.tightrope.dev", "SelfSubjectReview": "selfsubjectreviews.authentication.k8s.io",
}

// explain says of a refused request which right is missing, and of a cluster without
// our kinds that Tightrope is not installed.
func explain(verb, kind string, key client.ObjectKey, err error) error {
	what := fmt.Sprintf("%s %s %s/%s", verb, kind, key.Namespace, key.Name)
	if key.Name == "" {
		what = fmt.Sprintf("%s %ss in namespace %s", verb, kind, key.Namespace)
		if key.Namespace == "" {
			what = fmt.Sprintf("%s %ss in all namespaces", verb, kind)
		}
	}
	switch denied := lacking.FindStringSubmatch(fmt.Sprint(err)); {
	case err == nil:
		return nil
	case apierrors.IsForbidden(err) && denied != nil:
		return fmt.Errorf("%s: %w: the verb %s on %s in namespace %q: %w", what, ErrForbidden, denied[1], resources[kind], key.Namespace, err)
	case apierrors.IsForbidden(err): // by an admission policy or a quota, which say why
		return fmt.Errorf("%s: %w: %w", what, ErrRefused, err)
	case meta.IsNoMatchError(err):
		return fmt.Errorf("%s: %w: the cluster does not know the kind; install Tightrope with tightrope install", what, ErrRefused)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// lacking finds the verb in what the API server says where RBAC gives no right.
var lacking = regexp.MustCompile(`cannot (\w+) resource`)

func (s *Steerer) get(ctx context.Context, kind string, key client.ObjectKey, into client.Object) error {
	err := s.c.Get(ctx, key, into)
	if apierrors.IsNotFound(err) {
		return err
	}
	return explain("get", kind, key, err)
}
