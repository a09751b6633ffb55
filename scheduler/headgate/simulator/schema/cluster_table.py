"""Frameworks, masters, agents, machines and roles.

The notation is that of `notation.read_table`.
"""

TABLE = """
FrameworkID: 1 value string!
FrameworkInfo: 1 user string!, 2 name string!, 3 id FrameworkID, 4 failover_timeout double = 0.0,
    5 checkpoint bool = false, 6 role string, 12 roles [string], 7 hostname string, 8 principal string,
    9 webui_url string, 10 capabilities [.Capability], 11 labels Labels, 13 offer_filters {OfferFilters}
FrameworkInfo.Capability: 1 type .Type
OfferFilters: 1 min_allocatable_resources .MinAllocatableResources
OfferFilters.MinAllocatableResources: 1 quantities [OfferFilters.ResourceQuantities]
OfferFilters.ResourceQuantities: 1 quantities {Value.Scalar}
AgentID: 1 value string!
WeightInfo: 1 weight double!, 2 role string
MachineID: 1 hostname string, 2 ip string
MasterInfo: 1 id string!, 2 ip uint32!, 3 port uint32! = 5050, 4 pid string, 5 hostname string, 6 version string,
    7 address Address, 8 domain DomainInfo, 9 capabilities [.Capability]
DomainInfo: 1 fault_domain .FaultDomain
DomainInfo.FaultDomain: 1 region .RegionInfo!, 2 zone .ZoneInfo!
DomainInfo.FaultDomain.RegionInfo: 1 name string!
DomainInfo.FaultDomain.ZoneInfo: 1 name string!
MasterInfo.Capability: 1 type .Type
AgentInfo: 1 hostname string!, 8 port int32 = 5051, 3 resources [Resource], 5 attributes [Attribute], 6 id AgentID,
    10 domain DomainInfo
Flag: 1 name string!, 2 value string
VersionInfo: 1 version string!, 2 build_date string, 3 build_time double, 4 build_user string, 5 git_sha string,
    6 git_branch string, 7 git_tag string
Metric: 1 name string!, 2 value double
FileInfo: 1 path string!, 2 nlink int32, 3 size uint64, 4 mtime TimeInfo, 5 mode uint32, 6 uid string, 7 gid string
AgentInfo.Capability: 1 type .Type
ResourceProviderInfo: 1 id ResourceProviderID, 2 attributes [Attribute], 3 type string!, 4 name string!,
    5 default_reservations [Resource.ReservationInfo], 6 storage .Storage
ResourceProviderInfo.Storage: 1 plugin CSIPluginInfo!, 2 reconciliation_interval_seconds double
CSIPluginInfo: 1 type string!, 2 name string = default, 3 containers [CSIPluginContainerInfo],
    4 endpoints [CSIPluginEndpoint], 5 target_path_root string, 6 target_path_exists bool
CSIPluginContainerInfo: 1 services [.Service], 2 command CommandInfo, 3 resources [Resource],
    4 container ContainerInfo
CSIPluginEndpoint: 1 csi_service CSIPluginContainerInfo.Service!, 2 endpoint string!
DrainInfo: 1 state DrainState!, 2 config DrainConfig!
DrainConfig: 1 max_grace_period DurationInfo, 2 mark_gone bool = false
Role: 1 name string!, 2 weight double!, 3 frameworks [FrameworkID], 4 resources [Resource]
enum FrameworkInfo.Capability.Type: 0 UNKNOWN, 1 REVOCABLE_RESOURCES, 2 TASK_KILLING_STATE, 3 GPU_RESOURCES,
    4 SHARED_RESOURCES, 5 PARTITION_AWARE, 6 MULTI_ROLE, 7 RESERVATION_REFINEMENT, 8 REGION_AWARE
enum MasterInfo.Capability.Type: 0 UNKNOWN, 1 AGENT_UPDATE, 2 AGENT_DRAINING, 3 QUOTA_V2
enum AgentInfo.Capability.Type: 0 UNKNOWN, 1 MULTI_ROLE, 2 HIERARCHICAL_ROLE, 3 RESERVATION_REFINEMENT,
    4 RESOURCE_PROVIDER, 5 RESIZE_VOLUME, 6 AGENT_OPERATION_FEEDBACK, 7 AGENT_DRAINING, 8 TASK_RESOURCE_LIMITS
enum CSIPluginContainerInfo.Service: 0 UNKNOWN, 1 CONTROLLER_SERVICE, 2 NODE_SERVICE
enum DrainState: 0 UNKNOWN, 1 DRAINING, 2 DRAINED
"""
