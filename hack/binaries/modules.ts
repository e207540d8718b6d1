/** Versions are those of go.mod; these lines only name what each module gives and what a cold build costs. */
export type ModuleName = 'kube' | 'tools'

export type Module = {
  name: ModuleName
  /** What `go build` gets, in the module's folder. */
  packages: string[]
  ldflags: string
  /** Other names of the one program, which looks at its own name. */
  links: { target: string; names: string[] } | undefined
  cold: string
}

export const modules: Record<ModuleName, Module> = {
  kube: {
    name: 'kube',
    packages: ['.'],
    // Without a version the API server calls itself v0.0.0 and kubelet and kubectl complain of the skew.
    ldflags:
      '-s -w -X k8s.io/component-base/version.gitVersion=v1.34.4' +
      ' -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=34',
    links: {
      target: 'kube',
      names: ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kube-proxy', 'kubelet', 'kubectl'],
    },
    cold: 'about 5 minutes on 2 cores',
  },
  tools: {
    name: 'tools',
    packages: ['./coredns', './pause', 'helm.sh/helm/v4/cmd/helm'],
    ldflags: '-s -w',
    links: undefined,
    cold: 'about 2 minutes on 2 cores',
  },
}
