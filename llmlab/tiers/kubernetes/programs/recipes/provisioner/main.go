// Command provisioner makes a folder of its node for each claim of its StorageClass, and removes it with the claim:
// what kind and k3s do with a shell script in a pod, without the shell. Volumes live and die with the cluster.
package main

import (
	"context"
	"flag"
	"os"
	"path/filepath"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

const name = "llmlab.org/node-folder"

// folders makes them below `here`, which the node knows as `there`.
type folders struct{ here, there string }

func (f folders) Provision(_ context.Context, want controller.ProvisionOptions) (*v1.PersistentVolume, controller.ProvisioningState, error) {
	folder := filepath.Join(f.here, want.PVName)
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	if err := os.Chmod(folder, 0o777); err != nil { // whatever the umask says
		return nil, controller.ProvisioningFinished, err
	}
	return &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: want.PVName},
		Spec: v1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *want.StorageClass.ReclaimPolicy,
			AccessModes:                   want.PVC.Spec.AccessModes,
			Capacity:                      v1.ResourceList{v1.ResourceStorage: want.PVC.Spec.Resources.Requests[v1.ResourceStorage]},
			PersistentVolumeSource: v1.PersistentVolumeSource{
				Local: &v1.LocalVolumeSource{Path: filepath.Join(f.there, want.PVName)},
			},
			NodeAffinity: &v1.VolumeNodeAffinity{Required: &v1.NodeSelector{NodeSelectorTerms: []v1.NodeSelectorTerm{{
				MatchExpressions: []v1.NodeSelectorRequirement{{Key: v1.LabelHostname, Operator: v1.NodeSelectorOpIn, Values: []string{want.SelectedNodeName}}},
			}}}},
		},
	}, controller.ProvisioningFinished, nil
}

func (f folders) Delete(_ context.Context, volume *v1.PersistentVolume) error {
	return os.RemoveAll(filepath.Join(f.here, volume.Name))
}

func main() {
	here := flag.String("here", "/volumes", "the folder as this container sees it")
	there := flag.String("there", "", "the same folder as the node sees it")
	flag.Parse()
	config, err := rest.InClusterConfig()
	if err != nil {
		klog.Fatal(err)
	}
	ctx := context.Background()
	controller.NewProvisionController(
		ctx, kubernetes.NewForConfigOrDie(config), name, folders{*here, *there},
		controller.LeaderElection(false),
	).Run(ctx)
}
