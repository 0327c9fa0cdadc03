package main

// The local cluster's dynamic provisioner: all nodes share the host's file system, so one process on the host makes
// and removes the folder behind every volume. A volume is of the `local` kind, bound to the node the scheduler chose:
// the kubelet mounts it and applies the pod's fsGroup as it would on a real disk. Sizes are not enforced.

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
)

const (
	// provisionerName is what the StorageClass names.
	provisionerName = "datamesh.io/local"
	provisionedBy   = "pv.kubernetes.io/provisioned-by"
	wantsFrom       = "volume.kubernetes.io/storage-provisioner"
	selectedNode    = "volume.kubernetes.io/selected-node"
	// resyncEvery repeats what failed for a reason outside the cluster, such as a full disk.
	resyncEvery = 30 * time.Second
)

type provisioner struct {
	client kubernetes.Interface
	folder string
	claims cache.Store
	vols   cache.Store
	queue  workqueue.TypedRateLimitingInterface[task]
}

// task names a claim to provision or a volume to reclaim.
type task struct {
	claim bool
	key   string
}

func newProvisionerCommand() *cobra.Command {
	var kubeconfig, folder string
	command := &cobra.Command{
		Use:   "volume-provisioner",
		Short: "Makes a folder on this host for every claim of the class's provisioner " + provisionerName,
		RunE: func(*cobra.Command, []string) error {
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			return runProvisioner(ctx, kubeconfig, folder)
		},
	}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", "", "how to reach the API server")
	command.Flags().StringVar(&folder, "folder", "", "where volumes are made, one folder a node")
	return command
}

func runProvisioner(ctx context.Context, kubeconfig, folder string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, resyncEvery)
	claims := factory.Core().V1().PersistentVolumeClaims().Informer()
	vols := factory.Core().V1().PersistentVolumes().Informer()
	p := &provisioner{
		client: client, folder: folder, claims: claims.GetStore(), vols: vols.GetStore(),
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[task]()),
	}
	if err := p.watch(claims, true); err != nil {
		return err
	}
	if err := p.watch(vols, false); err != nil {
		return err
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	go func() { <-ctx.Done(); p.queue.ShutDown() }()
	for p.step(ctx) {
	}
	return nil
}

func (p *provisioner) watch(informer cache.SharedIndexInformer, claim bool) error {
	add := func(object any) {
		if key, err := cache.MetaNamespaceKeyFunc(object); err == nil {
			p.queue.Add(task{claim, key})
		}
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: add, UpdateFunc: func(_, new any) { add(new) },
	})
	return err
}

func (p *provisioner) step(ctx context.Context) bool {
	next, shutdown := p.queue.Get()
	if shutdown {
		return false
	}
	defer p.queue.Done(next)
	if err := p.handle(ctx, next); err != nil {
		klog.ErrorS(err, "will try again", "object", next.key)
		p.queue.AddRateLimited(next)
		return true
	}
	p.queue.Forget(next)
	return true
}

func (p *provisioner) handle(ctx context.Context, next task) error {
	store := p.vols
	if next.claim {
		store = p.claims
	}
	object, exists, err := store.GetByKey(next.key)
	if err != nil || !exists {
		return err
	}
	if claim, ok := object.(*core.PersistentVolumeClaim); ok {
		return p.provision(ctx, claim)
	}
	if volume, ok := object.(*core.PersistentVolume); ok {
		return p.reclaim(ctx, volume)
	}
	return nil
}

func (p *provisioner) provision(ctx context.Context, claim *core.PersistentVolumeClaim) error {
	node := claim.Annotations[selectedNode]
	waiting := claim.Spec.VolumeName == "" && claim.DeletionTimestamp == nil && node != ""
	if claim.Annotations[wantsFrom] != provisionerName || !waiting {
		return nil
	}
	name := "pvc-" + string(claim.UID)
	path := filepath.Join(p.folder, node, name)
	if err := os.MkdirAll(path, 0o777); err != nil {
		return err
	}
	// Past the umask: pods without an fsGroup write here too.
	if err := os.Chmod(path, 0o777); err != nil {
		return err
	}
	_, err := p.client.CoreV1().PersistentVolumes().Create(ctx, volumeFor(claim, name, node, path), meta.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	if err == nil {
		klog.InfoS("provisioned", "claim", claim.Namespace+"/"+claim.Name, "volume", name, "node", node)
	}
	return err
}

func volumeFor(claim *core.PersistentVolumeClaim, name, node, path string) *core.PersistentVolume {
	hostname := core.NodeSelectorRequirement{
		Key: core.LabelHostname, Operator: core.NodeSelectorOpIn, Values: []string{node},
	}
	return &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: name, Annotations: map[string]string{provisionedBy: provisionerName}},
		Spec: core.PersistentVolumeSpec{
			AccessModes:                   claim.Spec.AccessModes,
			Capacity:                      core.ResourceList{core.ResourceStorage: claim.Spec.Resources.Requests[core.ResourceStorage]},
			PersistentVolumeReclaimPolicy: core.PersistentVolumeReclaimDelete,
			StorageClassName:              *claim.Spec.StorageClassName,
			VolumeMode:                    claim.Spec.VolumeMode,
			ClaimRef: &core.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim",
				Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
			PersistentVolumeSource: core.PersistentVolumeSource{Local: &core.LocalVolumeSource{Path: path}},
			NodeAffinity: &core.VolumeNodeAffinity{Required: &core.NodeSelector{NodeSelectorTerms: []core.NodeSelectorTerm{
				{MatchExpressions: []core.NodeSelectorRequirement{hostname}},
			}}},
		},
	}
}

func (p *provisioner) reclaim(ctx context.Context, volume *core.PersistentVolume) error {
	ours := volume.Annotations[provisionedBy] == provisionerName && volume.Spec.Local != nil
	released := volume.Status.Phase == core.VolumeReleased || volume.Status.Phase == core.VolumeFailed
	if !ours || !released || volume.Spec.PersistentVolumeReclaimPolicy != core.PersistentVolumeReclaimDelete {
		return nil
	}
	path := filepath.Clean(volume.Spec.Local.Path)
	if inside, err := filepath.Match(filepath.Join(p.folder, "*", "pvc-*"), path); err != nil || !inside {
		return fmt.Errorf("volume %s: %s is not one of %s's folders, left alone", volume.Name, path, p.folder)
	}
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	err := p.client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, meta.DeleteOptions{})
	if err == nil || apierrors.IsNotFound(err) {
		klog.InfoS("reclaimed", "volume", volume.Name)
		return nil
	}
	return err
}
