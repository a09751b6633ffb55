"""The operator API: its calls, answers and events, with maintenance and quota.

The notation is that of `notation.read_table`.
"""

TABLE = """
master.Call: 1 type .Type, 2 get_metrics .GetMetrics, 3 set_logging_level .SetLoggingLevel, 4 list_files .ListFiles,
    5 read_file .ReadFile, 6 update_weights .UpdateWeights, 7 reserve_resources .ReserveResources,
    8 unreserve_resources .UnreserveResources, 9 create_volumes .CreateVolumes, 10 destroy_volumes .DestroyVolumes,
    18 grow_volume .GrowVolume, 19 shrink_volume .ShrinkVolume,
    11 update_maintenance_schedule .UpdateMaintenanceSchedule, 12 start_maintenance .StartMaintenance,
    13 stop_maintenance .StopMaintenance, 21 drain_agent .DrainAgent, 22 deactivate_agent .DeactivateAgent,
    23 reactivate_agent .ReactivateAgent, 20 update_quota .UpdateQuota, 16 teardown .Teardown,
    17 mark_agent_gone .MarkAgentGone, 14 set_quota .SetQuota, 15 remove_quota .RemoveQuota
master.Call.GetMetrics: 1 timeout DurationInfo
master.Call.SetLoggingLevel: 1 level uint32!, 2 duration DurationInfo!
master.Call.ListFiles: 1 path string!
master.Call.ReadFile: 1 path string!, 2 offset uint64!, 3 length uint64
master.Call.UpdateWeights: 1 weight_infos [WeightInfo]
master.Call.ReserveResources: 1 agent_id AgentID!, 3 source [Resource], 2 resources [Resource]
master.Call.UnreserveResources: 1 agent_id AgentID!, 2 resources [Resource]
master.Call.CreateVolumes: 1 agent_id AgentID!, 2 volumes [Resource]
master.Call.DestroyVolumes: 1 agent_id AgentID!, 2 volumes [Resource]
master.Call.GrowVolume: 1 agent_id AgentID, 2 volume Resource!, 3 addition Resource!
master.Call.ShrinkVolume: 1 agent_id AgentID, 2 volume Resource!, 3 subtract Value.Scalar!
master.Call.UpdateMaintenanceSchedule: 1 schedule maintenance.Schedule!
maintenance.Schedule: 1 windows [maintenance.Window]
maintenance.Window: 1 machine_ids [MachineID], 2 unavailability Unavailability!
master.Call.StartMaintenance: 1 machines [MachineID]
master.Call.StopMaintenance: 1 machines [MachineID]
master.Call.DrainAgent: 1 agent_id AgentID!, 2 max_grace_period google.protobuf.Duration, 3 mark_gone bool = false
google.protobuf.Duration: 1 seconds int64, 2 nanos int32
master.Call.DeactivateAgent: 1 agent_id AgentID!
master.Call.ReactivateAgent: 1 agent_id AgentID!
master.Call.UpdateQuota: 1 force bool, 2 quota_configs [quota.QuotaConfig]
quota.QuotaConfig: 1 role string!, 2 guarantees {Value.Scalar}, 3 limits {Value.Scalar}
master.Call.Teardown: 1 framework_id FrameworkID!
master.Call.MarkAgentGone: 1 agent_id AgentID!
master.Call.SetQuota: 1 quota_request quota.QuotaRequest!
quota.QuotaRequest: 1 force bool, 2 role string, 3 guarantee [Resource]
master.Call.RemoveQuota: 1 role string!
master.Response: 1 type .Type, 2 get_health .GetHealth, 3 get_flags .GetFlags, 4 get_version .GetVersion,
    5 get_metrics .GetMetrics, 6 get_logging_level .GetLoggingLevel, 7 list_files .ListFiles, 8 read_file .ReadFile,
    9 get_state .GetState, 10 get_agents .GetAgents, 11 get_frameworks .GetFrameworks, 12 get_executors .GetExecutors,
    20 get_operations .GetOperations, 13 get_tasks .GetTasks, 14 get_roles .GetRoles, 15 get_weights .GetWeights,
    16 get_master .GetMaster, 17 get_maintenance_status .GetMaintenanceStatus,
    18 get_maintenance_schedule .GetMaintenanceSchedule, 19 get_quota .GetQuota
master.Response.GetHealth: 1 healthy bool!
master.Response.GetFlags: 1 flags [Flag]
master.Response.GetVersion: 1 version_info VersionInfo!
master.Response.GetMetrics: 1 metrics [Metric]
master.Response.GetLoggingLevel: 1 level uint32!
master.Response.ListFiles: 1 file_infos [FileInfo]
master.Response.ReadFile: 1 size uint64!, 2 data bytes!
master.Response.GetState: 1 get_tasks master.Response.GetTasks, 2 get_executors master.Response.GetExecutors,
    3 get_frameworks master.Response.GetFrameworks, 4 get_agents master.Response.GetAgents
master.Response.GetTasks: 1 pending_tasks [Task], 2 tasks [Task], 5 unreachable_tasks [Task],
    3 completed_tasks [Task], 4 orphan_tasks [Task]
master.Response.GetExecutors: 1 executors [.Executor], 2 orphan_executors [.Executor]
master.Response.GetExecutors.Executor: 1 executor_info ExecutorInfo!, 2 agent_id AgentID!
master.Response.GetFrameworks: 1 frameworks [.Framework], 2 completed_frameworks [.Framework],
    3 recovered_frameworks [FrameworkInfo]
master.Response.GetFrameworks.Framework: 1 framework_info FrameworkInfo!, 2 active bool!, 3 connected bool!,
    11 recovered bool!, 4 registered_time TimeInfo, 5 reregistered_time TimeInfo, 6 unregistered_time TimeInfo,
    7 offers [Offer], 8 inverse_offers [InverseOffer], 9 allocated_resources [Resource],
    10 offered_resources [Resource], 12 offer_constraints scheduler.OfferConstraints
master.Response.GetAgents: 1 agents [.Agent], 2 recovered_agents [AgentInfo]
master.Response.GetAgents.Agent: 1 agent_info AgentInfo!, 2 active bool!, 12 deactivated bool, 3 version string!,
    4 pid string, 5 registered_time TimeInfo, 6 reregistered_time TimeInfo, 7 total_resources [Resource],
    8 allocated_resources [Resource], 9 offered_resources [Resource], 10 capabilities [AgentInfo.Capability],
    11 resource_providers [.ResourceProvider], 13 drain_info DrainInfo, 14 estimated_drain_start_time TimeInfo
master.Response.GetAgents.Agent.ResourceProvider: 1 resource_provider_info ResourceProviderInfo!,
    2 total_resources [Resource]
master.Response.GetOperations: 1 operations [Operation]
master.Response.GetRoles: 1 roles [Role]
master.Response.GetWeights: 1 weight_infos [WeightInfo]
master.Response.GetMaster: 1 master_info MasterInfo, 2 start_time double, 3 elected_time double
master.Response.GetMaintenanceStatus: 1 status maintenance.ClusterStatus!
maintenance.ClusterStatus: 1 draining_machines [.DrainingMachine], 2 down_machines [MachineID]
maintenance.ClusterStatus.DrainingMachine: 1 id MachineID!, 2 statuses [allocator.InverseOfferStatus]
allocator.InverseOfferStatus: 1 status .Status!, 2 framework_id FrameworkID!, 3 timestamp TimeInfo!
master.Response.GetMaintenanceSchedule: 1 schedule maintenance.Schedule!
master.Response.GetQuota: 1 status quota.QuotaStatus!
quota.QuotaStatus: 1 infos [quota.QuotaInfo], 2 configs [quota.QuotaConfig]
quota.QuotaInfo: 1 role string, 2 principal string, 3 guarantee [Resource]
master.Event: 1 type .Type, 2 subscribed .Subscribed, 3 task_added .TaskAdded, 4 task_updated .TaskUpdated,
    5 agent_added .AgentAdded, 6 agent_removed .AgentRemoved, 7 framework_added .FrameworkAdded,
    8 framework_updated .FrameworkUpdated, 9 framework_removed .FrameworkRemoved
master.Event.Subscribed: 1 get_state master.Response.GetState, 2 heartbeat_interval_seconds double
master.Event.TaskAdded: 1 task Task!
master.Event.TaskUpdated: 1 framework_id FrameworkID!, 2 status TaskStatus!, 3 state TaskState!
master.Event.AgentAdded: 1 agent master.Response.GetAgents.Agent!
master.Event.AgentRemoved: 1 agent_id AgentID!
master.Event.FrameworkAdded: 1 framework master.Response.GetFrameworks.Framework!
master.Event.FrameworkUpdated: 1 framework master.Response.GetFrameworks.Framework!
master.Event.FrameworkRemoved: 1 framework_info FrameworkInfo!
enum master.Call.Type: 0 UNKNOWN, 1 GET_HEALTH, 2 GET_FLAGS, 3 GET_VERSION, 4 GET_METRICS, 5 GET_LOGGING_LEVEL,
    6 SET_LOGGING_LEVEL, 7 LIST_FILES, 8 READ_FILE, 9 GET_STATE, 10 GET_AGENTS, 11 GET_FRAMEWORKS, 12 GET_EXECUTORS,
    33 GET_OPERATIONS, 13 GET_TASKS, 14 GET_ROLES, 15 GET_WEIGHTS, 16 UPDATE_WEIGHTS, 17 GET_MASTER, 18 SUBSCRIBE,
    19 RESERVE_RESOURCES, 20 UNRESERVE_RESOURCES, 21 CREATE_VOLUMES, 22 DESTROY_VOLUMES, 34 GROW_VOLUME,
    35 SHRINK_VOLUME, 23 GET_MAINTENANCE_STATUS, 24 GET_MAINTENANCE_SCHEDULE, 25 UPDATE_MAINTENANCE_SCHEDULE,
    26 START_MAINTENANCE, 27 STOP_MAINTENANCE, 37 DRAIN_AGENT, 38 DEACTIVATE_AGENT, 39 REACTIVATE_AGENT, 28 GET_QUOTA,
    36 UPDATE_QUOTA, 29 SET_QUOTA, 30 REMOVE_QUOTA, 31 TEARDOWN, 32 MARK_AGENT_GONE
enum master.Response.Type: 0 UNKNOWN, 1 GET_HEALTH, 2 GET_FLAGS, 3 GET_VERSION, 4 GET_METRICS, 5 GET_LOGGING_LEVEL,
    6 LIST_FILES, 7 READ_FILE, 8 GET_STATE, 9 GET_AGENTS, 10 GET_FRAMEWORKS, 11 GET_EXECUTORS, 19 GET_OPERATIONS,
    12 GET_TASKS, 13 GET_ROLES, 14 GET_WEIGHTS, 15 GET_MASTER, 16 GET_MAINTENANCE_STATUS, 17 GET_MAINTENANCE_SCHEDULE,
    18 GET_QUOTA
enum allocator.InverseOfferStatus.Status: 1 UNKNOWN, 2 ACCEPT, 3 DECLINE
enum master.Event.Type: 0 UNKNOWN, 1 SUBSCRIBED, 2 TASK_ADDED, 3 TASK_UPDATED, 4 AGENT_ADDED, 5 AGENT_REMOVED,
    6 FRAMEWORK_ADDED, 7 FRAMEWORK_UPDATED, 8 FRAMEWORK_REMOVED, 9 HEARTBEAT
"""
