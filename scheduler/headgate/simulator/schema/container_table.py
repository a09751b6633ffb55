"""Containers, volumes, images, networks and secrets.

The notation is that of `notation.read_table`.
"""

TABLE = """
Volume: 3 mode .Mode!, 1 container_path string!, 2 host_path string, 4 image Image, 5 source .Source
Image: 1 type .Type!, 2 appc .Appc, 3 docker .Docker, 4 cached bool = true
Image.Appc: 1 name string!, 2 id string, 3 labels Labels
Image.Docker: 1 name string!, 2 credential Credential, 3 config Secret
Credential: 1 principal string!, 2 secret string
Secret: 1 type .Type, 2 reference .Reference, 3 value .Value
Secret.Reference: 1 name string!, 2 key string
Secret.Value: 1 data bytes!
Volume.Source: 1 type .Type, 2 docker_volume .DockerVolume, 5 host_path .HostPath, 3 sandbox_path .SandboxPath,
    4 secret Secret, 6 csi_volume .CSIVolume
Volume.Source.DockerVolume: 1 driver string, 2 name string!, 3 driver_options Parameters
Parameters: 1 parameter [Parameter]
Parameter: 1 key string!, 2 value string!
Volume.Source.HostPath: 1 path string!, 2 mount_propagation MountPropagation
MountPropagation: 1 mode .Mode
Volume.Source.SandboxPath: 1 type .Type, 2 path string!
Volume.Source.CSIVolume: 1 plugin_name string!, 2 static_provisioning .StaticProvisioning
Volume.Source.CSIVolume.StaticProvisioning: 1 volume_id string!,
    2 volume_capability Volume.Source.CSIVolume.VolumeCapability!, 3 node_stage_secrets {Secret},
    4 node_publish_secrets {Secret}, 5 volume_context {string}
Volume.Source.CSIVolume.VolumeCapability: 3 access_mode .AccessMode!, one of (1 block .BlockVolume,
    2 mount .MountVolume)
Volume.Source.CSIVolume.VolumeCapability.BlockVolume: -
Volume.Source.CSIVolume.VolumeCapability.MountVolume: 1 fs_type string, 2 mount_flags [string]
Volume.Source.CSIVolume.VolumeCapability.AccessMode: 1 mode .Mode!
ContainerInfo: 1 type .Type!, 2 volumes [Volume], 4 hostname string, 3 docker .DockerInfo, 5 mesos .MesosInfo,
    7 network_infos [NetworkInfo], 8 linux_info LinuxInfo, 9 rlimit_info RLimitInfo, 10 tty_info TTYInfo
ContainerInfo.DockerInfo: 1 image string!, 2 network .Network = HOST, 3 port_mappings [.PortMapping],
    4 privileged bool = false, 5 parameters [Parameter], 6 force_pull_image bool, 7 volume_driver string
ContainerInfo.DockerInfo.PortMapping: 1 host_port uint32!, 2 container_port uint32!, 3 protocol string
ContainerInfo.MesosInfo: 1 image Image
NetworkInfo: 5 ip_addresses [.IPAddress], 6 name string, 3 groups [string], 4 labels Labels,
    7 port_mappings [.PortMapping]
NetworkInfo.IPAddress: 1 protocol NetworkInfo.Protocol = IPv4, 2 ip_address string
NetworkInfo.PortMapping: 1 host_port uint32!, 2 container_port uint32!, 3 protocol string
LinuxInfo: 1 capability_info CapabilityInfo, 2 bounding_capabilities CapabilityInfo,
    3 effective_capabilities CapabilityInfo, 4 share_pid_namespace bool, 5 seccomp SeccompInfo, 6 ipc_mode .IpcMode,
    7 shm_size uint32, 8 share_cgroups bool = true
CapabilityInfo: 1 capabilities [.Capability]
SeccompInfo: 1 profile_name string, 2 unconfined bool
RLimitInfo: 1 rlimits [.RLimit]
RLimitInfo.RLimit: 1 type .Type, 2 hard uint64, 3 soft uint64
TTYInfo: 1 window_size .WindowSize
TTYInfo.WindowSize: 1 rows uint32!, 2 columns uint32!
ContainerStatus: 4 container_id ContainerID, 1 network_infos [NetworkInfo], 2 cgroup_info CgroupInfo,
    3 executor_pid uint32
ContainerID: 1 value string!, 2 parent ContainerID
CgroupInfo: 1 net_cls .NetCls
CgroupInfo.NetCls: 1 classid uint32
enum Volume.Mode: 1 RW, 2 RO
enum Image.Type: 1 APPC, 2 DOCKER
enum Secret.Type: 0 UNKNOWN, 1 REFERENCE, 2 VALUE
enum Volume.Source.Type: 0 UNKNOWN, 1 DOCKER_VOLUME, 4 HOST_PATH, 2 SANDBOX_PATH, 3 SECRET, 5 CSI_VOLUME
enum MountPropagation.Mode: 0 UNKNOWN, 1 HOST_TO_CONTAINER, 2 BIDIRECTIONAL
enum Volume.Source.SandboxPath.Type: 0 UNKNOWN, 1 SELF, 2 PARENT
enum Volume.Source.CSIVolume.VolumeCapability.AccessMode.Mode: 0 UNKNOWN, 1 SINGLE_NODE_WRITER,
    2 SINGLE_NODE_READER_ONLY, 3 MULTI_NODE_READER_ONLY, 4 MULTI_NODE_SINGLE_WRITER, 5 MULTI_NODE_MULTI_WRITER
enum ContainerInfo.Type: 1 DOCKER, 2 MESOS
enum ContainerInfo.DockerInfo.Network: 1 HOST, 2 BRIDGE, 3 NONE, 4 USER
enum NetworkInfo.Protocol: 1 IPv4, 2 IPv6
enum CapabilityInfo.Capability: 0 UNKNOWN, 1000 CHOWN, 1001 DAC_OVERRIDE, 1002 DAC_READ_SEARCH, 1003 FOWNER,
    1004 FSETID, 1005 KILL, 1006 SETGID, 1007 SETUID, 1008 SETPCAP, 1009 LINUX_IMMUTABLE, 1010 NET_BIND_SERVICE,
    1011 NET_BROADCAST, 1012 NET_ADMIN, 1013 NET_RAW, 1014 IPC_LOCK, 1015 IPC_OWNER, 1016 SYS_MODULE, 1017 SYS_RAWIO,
    1018 SYS_CHROOT, 1019 SYS_PTRACE, 1020 SYS_PACCT, 1021 SYS_ADMIN, 1022 SYS_BOOT, 1023 SYS_NICE, 1024 SYS_RESOURCE,
    1025 SYS_TIME, 1026 SYS_TTY_CONFIG, 1027 MKNOD, 1028 LEASE, 1029 AUDIT_WRITE, 1030 AUDIT_CONTROL, 1031 SETFCAP,
    1032 MAC_OVERRIDE, 1033 MAC_ADMIN, 1034 SYSLOG, 1035 WAKE_ALARM, 1036 BLOCK_SUSPEND, 1037 AUDIT_READ,
    1038 PERFMON, 1039 BPF, 1040 CHECKPOINT_RESTORE
enum LinuxInfo.IpcMode: 0 UNKNOWN, 1 PRIVATE, 2 SHARE_PARENT
enum RLimitInfo.RLimit.Type: 0 UNKNOWN, 1 RLMT_AS, 2 RLMT_CORE, 3 RLMT_CPU, 4 RLMT_DATA, 5 RLMT_FSIZE, 6 RLMT_LOCKS,
    7 RLMT_MEMLOCK, 8 RLMT_MSGQUEUE, 9 RLMT_NICE, 10 RLMT_NOFILE, 11 RLMT_NPROC, 12 RLMT_RSS, 13 RLMT_RTPRIO,
    14 RLMT_RTTIME, 15 RLMT_SIGPENDING, 16 RLMT_STACK
"""
