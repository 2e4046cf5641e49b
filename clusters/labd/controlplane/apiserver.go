package controlplane

import (
	"context"
	"errors"
	"net/http"

	"github.com/spf13/cobra"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	genericapiserver "k8s.io/apiserver/pkg/server"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	logsapi "k8s.io/component-base/logs/api/v1"
	"k8s.io/klog/v2"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"

	"github.com/tightrope-dev/tightrope/clusters/labd/apifault"
)

// newAPIServerCommand is upstream's command with one difference: in front of the
// handlers stands one that knows about faults. Upstream's has no place for it.
func newAPIServerCommand() *cobra.Command {
	o := options.NewServerRunOptions()
	c := &cobra.Command{Use: "kube-apiserver", Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(*cobra.Command, []string) error {
			if err := o.GenericServerRunOptions.ComponentGlobalsRegistry.Set(); err != nil {
				return err
			}
			rest.SetDefaultWarningHandler(rest.NoWarnings{}) // the server shall not warn itself
			if err := logsapi.ValidateAndApply(o.Logs, utilfeature.DefaultFeatureGate); err != nil {
				return err
			}
			return serveAPI(genericapiserver.SetupSignalContext(), o)
		}}
	flags := o.Flags()
	for _, f := range flags.FlagSets {
		c.Flags().AddFlagSet(f)
	}
	return c
}

// serveAPI returns when the server ends.
func serveAPI(ctx context.Context, o *options.ServerRunOptions) error {
	completed, err := o.Complete(ctx)
	if err != nil {
		return err
	}
	if errs := completed.Validate(); len(errs) > 0 {
		return utilerrors.NewAggregate(errs)
	}
	if completed.InformerName, err = cache.NewInformerName("kube-apiserver"); err != nil {
		return err
	}
	config, err := apiserver.NewConfig(completed)
	if err != nil {
		return err
	}
	if config.Aggregator == nil || config.Aggregator.GenericConfig == nil {
		return errors.New("the API server has no outermost handler")
	}
	spoil(&config.Aggregator.GenericConfig.Config)
	ready, err := config.Complete()
	if err != nil {
		return err
	}
	server, err := apiserver.CreateServerChain(ready)
	if err != nil {
		return err
	}
	prepared, err := server.PrepareRun()
	if err != nil {
		return err
	}
	return prepared.Run(ctx)
}

// spoil puts the handler of faults before all others of the outermost server.
func spoil(c *genericapiserver.Config) {
	build := c.BuildHandlerChainFunc
	c.BuildHandlerChainFunc = func(api http.Handler, c *genericapiserver.Config) http.Handler {
		return &apifault.Handler{Next: build(api, c), Users: c.Authentication.Authenticator,
			Infos: c.RequestInfoResolver, Path: FaultsFile, Log: klog.Errorf}
	}
}
