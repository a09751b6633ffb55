"""Resources, offers and the operations on them.

The notation is that of `notation.read_table`.
"""

TABLE = """
Value.Scalar: 1 value double!
OfferID: 1 value string!
Offer.Operation: 1 type .Type, 12 id OperationID, 2 launch .Launch, 7 launch_group .LaunchGroup, 3 reserve .Reserve,
    4 unreserve .Unreserve, 5 create .Create, 6 destroy .Destroy, 13 grow_volume .GrowVolume,
    14 shrink_volume .ShrinkVolume, 15 create_disk .CreateDisk, 16 destroy_disk .DestroyDisk
OperationID: 1 value string!
Offer.Operation.Launch: 1 task_infos [TaskInfo]
Resource: 12 provider_id ResourceProviderID, 1 name string!, 2 type Value.Type!, 3 scalar Value.Scalar,
    4 ranges Value.Ranges, 5 set Value.Set, 6 role string, 11 allocation_info .AllocationInfo,
    8 reservation .ReservationInfo, 13 reservations [.ReservationInfo], 7 disk .DiskInfo, 9 revocable .RevocableInfo,
    10 shared .SharedInfo
ResourceProviderID: 1 value string!
Value.Ranges: 1 range [Value.Range]
Value.Range: 1 begin uint64!, 2 end uint64!
Value.Set: 1 item [string]
Resource.AllocationInfo: 1 role string
Resource.ReservationInfo: 4 type .Type, 3 role string, 1 principal string, 2 labels Labels
Resource.DiskInfo: 1 persistence .Persistence, 2 volume Volume, 3 source .Source
Resource.DiskInfo.Persistence: 1 id string!, 2 principal string
Resource.DiskInfo.Source: 1 type .Type!, 2 path .Path, 3 mount .Mount, 7 vendor string, 4 id string,
    5 metadata Labels, 6 profile string
Resource.DiskInfo.Source.Path: 1 root string
Resource.DiskInfo.Source.Mount: 1 root string
Resource.RevocableInfo: -
Resource.SharedInfo: -
Offer.Operation.LaunchGroup: 1 executor ExecutorInfo!, 2 task_group TaskGroupInfo!
Offer.Operation.Reserve: 2 source [Resource], 1 resources [Resource]
Offer.Operation.Unreserve: 1 resources [Resource]
Offer.Operation.Create: 1 volumes [Resource]
Offer.Operation.Destroy: 1 volumes [Resource]
Offer.Operation.GrowVolume: 1 volume Resource!, 2 addition Resource!
Offer.Operation.ShrinkVolume: 1 volume Resource!, 2 subtract Value.Scalar!
Offer.Operation.CreateDisk: 1 source Resource!, 2 target_type Resource.DiskInfo.Source.Type!, 3 target_profile string
Offer.Operation.DestroyDisk: 1 source Resource!
Filters: 1 refuse_seconds double = 5.0
Request: 1 agent_id AgentID, 2 resources [Resource]
Unavailability: 1 start TimeInfo!, 2 duration DurationInfo
Address: 1 hostname string, 2 ip string, 3 port int32!
Offer: 1 id OfferID!, 2 framework_id FrameworkID!, 3 agent_id AgentID!, 4 hostname string!, 8 url URL,
    11 domain DomainInfo, 5 resources [Resource], 7 attributes [Attribute], 6 executor_ids [ExecutorID],
    9 unavailability Unavailability, 10 allocation_info Resource.AllocationInfo
URL: 1 scheme string!, 2 address Address!, 3 path string, 4 query [Parameter], 5 fragment string
Attribute: 1 name string!, 2 type Value.Type!, 3 scalar Value.Scalar, 4 ranges Value.Ranges, 6 set Value.Set,
    5 text Value.Text
Value.Text: 1 value string!
InverseOffer: 1 id OfferID!, 2 url URL, 3 framework_id FrameworkID!, 4 agent_id AgentID,
    5 unavailability Unavailability!, 6 resources [Resource]
OperationStatus: 1 operation_id OperationID, 2 state OperationState!, 3 message string,
    4 converted_resources [Resource], 5 uuid UUID, 6 agent_id AgentID, 7 resource_provider_id ResourceProviderID
UUID: 1 value bytes!
Operation: 1 framework_id FrameworkID, 2 agent_id AgentID, 3 info Offer.Operation!, 4 latest_status OperationStatus!,
    5 statuses [OperationStatus], 6 uuid UUID!
enum Offer.Operation.Type: 0 UNKNOWN, 1 LAUNCH, 6 LAUNCH_GROUP, 2 RESERVE, 3 UNRESERVE, 4 CREATE, 5 DESTROY,
    11 GROW_VOLUME, 12 SHRINK_VOLUME, 13 CREATE_DISK, 14 DESTROY_DISK
enum Value.Type: 0 SCALAR, 1 RANGES, 2 SET, 3 TEXT
enum Resource.ReservationInfo.Type: 0 UNKNOWN, 1 STATIC, 2 DYNAMIC
enum Resource.DiskInfo.Source.Type: 0 UNKNOWN, 1 PATH, 2 MOUNT, 3 BLOCK, 4 RAW
enum OperationState: 0 OPERATION_UNSUPPORTED, 1 OPERATION_PENDING, 2 OPERATION_FINISHED, 3 OPERATION_FAILED,
    4 OPERATION_ERROR, 5 OPERATION_DROPPED, 6 OPERATION_UNREACHABLE, 7 OPERATION_GONE_BY_OPERATOR,
    8 OPERATION_RECOVERING, 9 OPERATION_UNKNOWN
"""
