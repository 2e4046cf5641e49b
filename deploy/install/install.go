// Package install installs Tightrope on a cluster, upgrades it and removes it. What
// it cannot finish it takes back: the cluster is as it was before.
package install

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tightrope-dev/tightrope/api/v1alpha1"
	"github.com/tightrope-dev/tightrope/deploy"
)

const (
	// fieldManager owns what is installed.
	fieldManager = "tightrope-install"
	// controllerName is that of the controller's Deployment, service account and roles.
	controllerName = "tightrope-controller"
	// DefaultTimeout bounds how long an installation may take to be ready.
	DefaultTimeout = 3 * time.Minute
	// backWithin bounds how long taking back may take.
	backWithin = time.Minute
)

// Errors that say why nothing was changed.
var (
	// ErrInstalled is that another version is installed already.
	ErrInstalled = errors.New("already installed")
	// ErrNotInstalled is that there is nothing to upgrade or remove.
	ErrNotInstalled = errors.New("not installed")
	// ErrLive is that a rollout is under way.
	ErrLive = errors.New("a rollout is under way")
	// ErrRights is that the caller may not do what it takes.
	ErrRights = errors.New("rights are missing")
	// ErrConflict is that somebody else has made or changed an object of ours.
	ErrConflict = errors.New("somebody else's")
	// ErrImages is that the cluster cannot be told where to pull the images from.
	ErrImages = errors.New("no images for this cluster")
)

// Refused reports whether an error says that nothing was changed because of what
// the caller asked for.
func Refused(err error) bool {
	for _, refusal := range []error{ErrInstalled, ErrNotInstalled, ErrLive, ErrRights, ErrConflict, ErrImages, deploy.ErrTenancy} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}

// Options say what to install and who is told. The zero value installs with the
// image names that the lab maps to our binaries, and tells nobody. Where something is
// installed, what is nil or empty in Deploy stays as it is there; an empty slice or map
// that is not nil removes.
type Options struct {
	Deploy    deploy.Options
	Images    func(registry string) (map[string]string, error) // this program's in a registry and prefix, by program; nil: it does not know
	Registry  string                                           // for Images, where neither Deploy nor what is installed says one; empty: none
	Timeout   time.Duration                                    // until the controller must be ready; 0 means DefaultTimeout
	Overwrite bool                                             // take fields over that somebody else has set
	Apart     bool                                             // no longer single-tenant, if it is, and no tenant but those in Deploy
	DryRun    bool                                             // ask the API server what it would say, and store nothing
	Progress  func(string)                                     // called in order, from one goroutine, a line each; may be nil
}

// Install puts the CRDs and the controller into a cluster and waits until the
// controller is ready. Doing it again with the same version changes nothing. Where
// another version is installed it is refused (ErrInstalled). Whatever fails, what was
// written before is taken back.
func Install(ctx context.Context, cfg *rest.Config, o Options) error {
	i, err := newInstaller(cfg, o)
	if err != nil {
		return err
	}
	if err := i.mayBring(ctx); err != nil {
		return err
	}
	there, found, err := i.installed(ctx)
	switch {
	case err != nil:
		return err
	case found && there != o.Deploy.Version:
		return fmt.Errorf("%w: version %s in namespace %s, and this is %s; use tightrope upgrade", ErrInstalled,
			named(there), v1alpha1.SystemNamespace, named(o.Deploy.Version))
	case found:
		if err := i.keep(ctx); err != nil {
			return err
		}
		if err := i.mayDisturb(ctx); err != nil {
			return err
		}
	default:
		if err := i.begin(ctx); err != nil {
			return err
		}
	}
	return i.bring(ctx)
}

// mayDisturb refuses to change what is installed while a rollout is under way: the
// controller would stop for a moment, with candidates in force.
func (i *installer) mayDisturb(ctx context.Context) error {
	if i.untenable != nil || i.DryRun {
		return nil // bring says so
	}
	changes, err := i.wouldChange(ctx)
	if err != nil || !changes {
		return err
	}
	return i.noneLive(ctx, "install")
}

// Ensure is Install where nothing is installed. What is there already in this version
// is taken as it is: its images and places are somebody's choice.
func Ensure(ctx context.Context, cfg *rest.Config, o Options) error {
	i, err := newInstaller(cfg, o)
	if err != nil {
		return err
	}
	there, found, err := i.installed(ctx)
	if err == nil && found && there == o.Deploy.Version {
		ctx, stop := context.WithTimeoutCause(ctx, cmp.Or(o.Timeout, DefaultTimeout), errTimeout)
		defer stop()
		return i.ready(ctx)
	} else if err != nil {
		return err
	}
	return Install(ctx, cfg, o)
}

// Upgrade puts this version in the place of the one that is installed, and removes
// what that one had and this one has not. It is refused while a rollout is under way
// (ErrLive).
func Upgrade(ctx context.Context, cfg *rest.Config, o Options) error {
	i, err := newInstaller(cfg, o)
	if err != nil {
		return err
	}
	if err := i.mayBring(ctx); err != nil {
		return err
	}
	there, found, err := i.installed(ctx)
	switch {
	case err != nil:
		return err
	case !found:
		return fmt.Errorf("%w: namespace %s has no Deployment %s; use tightrope install", ErrNotInstalled, v1alpha1.SystemNamespace, controllerName)
	}
	if err := i.noneLive(ctx, "upgrade"); err != nil {
		return err
	}
	if err := i.keep(ctx); err != nil {
		return err
	}
	i.say("from version %s to %s", named(there), named(o.Deploy.Version))
	return i.bring(ctx)
}

func named(version string) string { return cmp.Or(version, "without a name") }

// Installed says whether a controller is installed, and in which version.
func Installed(ctx context.Context, cfg *rest.Config) (version string, found bool, err error) {
	c, err := newClient(cfg)
	if err != nil {
		return "", false, err
	}
	return (&installer{journal: journal{c: c}}).installed(ctx)
}

// installer is one installation under way.
type installer struct {
	Options
	crds, objects []*unstructured.Unstructured // of this version, in the order to apply them in
	applied       *unstructured.Unstructured   // the Deployment that is to run; nil: whichever is there
	untenable     error                        // why they must not be applied; nil: they may be
	journal
}

func newInstaller(cfg *rest.Config, o Options) (*installer, error) {
	c, err := newClient(cfg)
	if err != nil {
		return nil, err
	}
	if o.Deploy.Minor, err = minorOf(cfg); err != nil {
		return nil, err
	}
	i := &installer{Options: o, journal: journal{c: c}}
	return i, i.render()
}

// render makes the objects that the options ask for. Where they ask for tenants that
// the cluster cannot keep apart, they are those without: to look at and to remove.
func (i *installer) render() (err error) {
	if i.crds, err = deploy.CRDs(i.Deploy); err != nil {
		return err
	}
	i.objects, i.untenable = deploy.Manifests(i.Deploy)
	if !errors.Is(i.untenable, deploy.ErrTenancy) {
		return i.untenable
	}
	i.objects, err = deploy.Manifests(deploy.Options{Version: i.Deploy.Version, Minor: i.Deploy.Minor, SingleTenant: true})
	return err
}

func newClient(cfg *rest.Config) (client.WithWatch, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, v1alpha1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	cfg = rest.CopyConfig(cfg)
	cfg.QPS = -1
	c, err := client.NewWithWatch(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("reach the cluster: %w", err)
	}
	return c, nil
}

func (i *installer) say(format string, args ...any) {
	if i.Progress != nil {
		i.Progress(fmt.Sprintf(format, args...))
	}
}

// installed says which version is there. Found is about the controller: CRDs alone
// are what an uninstall may keep.
func (i *installer) installed(ctx context.Context) (version string, found bool, err error) {
	var d appsv1.Deployment
	err = i.c.Get(ctx, client.ObjectKey{Namespace: v1alpha1.SystemNamespace, Name: controllerName}, &d)
	if apierrors.IsNotFound(err) {
		return "", false, nil
	} else if err != nil {
		return "", false, fmt.Errorf("look whether Tightrope is installed: %w", err)
	}
	return d.Labels[deploy.LabelVersion], true, nil
}

// bring makes the cluster have this version, or be as it was.
func (i *installer) bring(ctx context.Context) (err error) {
	if err := cmp.Or(i.untenable, i.tenantsExist(ctx)); err != nil {
		return err
	}
	if i.DryRun {
		return i.rehearse(ctx, slices.Concat(i.crds, i.objects))
	}
	if err := i.wouldApply(ctx, slices.Concat(i.crds, i.objects)); err != nil {
		return err
	}
	ctx, stop := context.WithTimeoutCause(ctx, cmp.Or(i.Timeout, DefaultTimeout), errTimeout)
	defer stop()
	defer func() {
		if err != nil {
			err = i.takeBack(ctx, err)
		}
	}()
	if err := i.applyAll(ctx, i.crds); err != nil {
		return err
	}
	if err := i.established(ctx); err != nil {
		return err
	}
	return i.applyController(ctx)
}

// applyController applies everything but the CRDs. Before the Deployment is there the
// API server is asked whether it would take a pod of it: a quota or a pod security
// level is told at once then, in its own words.
func (i *installer) applyController(ctx context.Context) error {
	for _, o := range i.objects {
		if o.GetKind() == "Deployment" {
			if err := i.fits(ctx, o); err != nil {
				return err
			}
		}
		if err := i.applyOne(ctx, o); err != nil {
			return err
		}
		if o.GetKind() == "Deployment" {
			i.applied = o
		}
	}
	if err := i.ready(ctx); err != nil {
		return err
	}
	if err := i.prune(ctx); err != nil {
		return err
	}
	i.tellTenancy()
	return nil
}

// takeBack undoes what was written, also after an interruption.
func (i *installer) takeBack(ctx context.Context, why error) error {
	if len(i.changes) == 0 {
		return why
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), backWithin)
	defer stop()
	i.say("taking back what was written")
	restarts := slices.ContainsFunc(i.changes, func(c *change) bool { return c.object.GetKind() == "Deployment" && c.before != nil })
	if err := i.undo(ctx); err != nil {
		return errors.Join(why, fmt.Errorf("and this could not be taken back: %w", err))
	}
	if restarts {
		i.applied = nil
		if err := i.ready(ctx); err != nil {
			return fmt.Errorf("%w; everything is as it was before, but the controller of before does not run yet: %w", why, err)
		}
	}
	return fmt.Errorf("%w; everything is as it was before", why)
}
