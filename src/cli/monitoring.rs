//! `manifests --monitoring`: what watches couchestor, for clusters that run the Prometheus Operator. Its kinds are in a file of their own,
//! so that installing couchestor does not need them.

use serde_json::{Value, json};

/// One alert: a name, when it is raised, how long that must last, how bad it is, and what to do.
struct Alert {
    name: &'static str,
    expr: &'static str,
    lasting: &'static str,
    severity: &'static str,
    summary: &'static str,
    description: &'static str,
}

/// Every alert. A test has promtool check each and raise it.
const ALERTS: [Alert; 18] = [
    Alert {
        name: "CouchestorCordonHeld",
        expr: "max(couchestor_cordon_held_seconds) > 120",
        lasting: "1m",
        severity: "warning",
        summary: "Cordons of couchestor have been held for {{ $value | humanizeDuration }}",
        description: "A cordon is held for one call to Mayastor. While it is held no new copy goes to the pools and nodes that it closes, \
                      not even one that replaces a lost copy. `kubectl get events -A --field-selector reason=CordonHeld` names the move.",
    },
    Alert {
        name: "CouchestorMoveStuck",
        expr: "max by (phase) (couchestor_migration_phase_age_seconds{phase!~\"Pending|WaitSync\"}) > 1800",
        lasting: "5m",
        severity: "warning",
        summary: "A move has been in phase {{ $labels.phase }} for {{ $value | humanizeDuration }}",
        description: "These phases take minutes. `couchestor status` shows the move and what it waits for.",
    },
    Alert {
        name: "CouchestorCopyStuck",
        expr: "changes(couchestor_rebuild_progress_ratio[20m]) == 0 and couchestor_rebuild_progress_ratio offset 20m < 1 \
               and on (namespace, claim) couchestor_rebuild_progress_ratio < 1",
        lasting: "5m",
        severity: "warning",
        summary: "The move of {{ $labels.namespace }}/{{ $labels.claim }} has copied nothing for 20 minutes",
        description: "Either the move is held, or Mayastor does not fill the new copy. `couchestor status` says which.",
    },
    Alert {
        name: "CouchestorMoveRolledBack",
        expr: "sum by (reason) (increase(couchestor_migrations_rolled_back_total[1h])) > 0",
        lasting: "0m",
        severity: "warning",
        summary: "A move was rolled back: {{ $labels.reason }}",
        description: "The volume is as it was. `couchestor audit` shows which one it was and why.",
    },
    Alert {
        name: "CouchestorMoveNeedsPerson",
        expr: "max(couchestor_migrations_needing_person) > 0",
        lasting: "0m",
        severity: "critical",
        summary: "{{ $value }} moves can go neither forward nor back",
        description: "The volumes keep their data, but a person must look. `couchestor status` names the moves and says why.",
    },
    Alert {
        name: "CouchestorWorkloadMoveNeedsPerson",
        expr: "max(couchestor_workload_moves_needing_person) > 0",
        lasting: "0m",
        severity: "critical",
        summary: "{{ $value }} moves of workloads stand still, and their workloads may be down",
        description: "Nothing was deleted. `kubectl get workloadmoves` says what stops them; each goes on by itself once that is mended.",
    },
    Alert {
        name: "CouchestorMovesStopped",
        expr: "max(couchestor_moves_stopped) == 1",
        lasting: "0m",
        severity: "warning",
        summary: "No move starts until a person says so",
        description: "Several moves in a row have failed. `couchestor status` says which ones and how moves are let go on.",
    },
    Alert {
        name: "CouchestorAbsent",
        expr: "absent(storage_operator_reconcile_total)",
        lasting: "5m",
        severity: "critical",
        summary: "couchestor is not there",
        description: "Moves that were under way stand still and their cordons, if any, stay. Look at the Deployment couchestor.",
    },
    Alert {
        name: "CouchestorNoLeader",
        expr: "max(couchestor_leader) == 0",
        lasting: "2m",
        severity: "critical",
        summary: "No couchestor leads",
        description: "Each waits for the Lease, and nothing is applied or moved. Their logs say what keeps them from taking it: \
                      compare the Role with `couchestor manifests`, and look at `kubectl -n couchestor-system get lease couchestor`.",
    },
    Alert {
        name: "CouchestorTurnsFail",
        expr: "sum(increase(couchestor_turns_failed_total[30m])) > 0.5 * sum(increase(storage_operator_reconcile_total[30m]))",
        lasting: "15m",
        severity: "warning",
        summary: "More than half of all turns go wrong",
        description: "The conditions of the PolicySources say what is wrong: `couchestor status`.",
    },
    Alert {
        name: "CouchestorVolumesOffTier",
        expr: "max(couchestor_claims_off_tier) > 0",
        lasting: "24h",
        severity: "warning",
        summary: "{{ $value }} claims have not been on their approved tier for a day",
        description: "Moves that do not start, or copies that Mayastor has put elsewhere. `couchestor plan` says why nothing moves them.",
    },
    Alert {
        name: "CouchestorBackupStale",
        expr: "max by (namespace, policy) (couchestor_rpo_seconds) > max by (namespace, policy) (couchestor_rpo_objective_seconds)",
        lasting: "5m",
        severity: "critical",
        summary: "{{ $labels.namespace }}/{{ $labels.policy }} would lose {{ $value | humanizeDuration }} of work",
        description: "That is how old the newest backup is that holds every volume, and more than the policy's rpo allows. \
                      `couchestor status` says what newer backups lack, or that there is none.",
    },
    Alert {
        name: "CouchestorNeverBackedUp",
        // A new policy has no backup before its first night is over.
        expr: "max by (namespace, policy) (couchestor_rpo_objective_seconds) \
               unless on (namespace, policy) max by (namespace, policy) (couchestor_rpo_seconds)",
        lasting: "26h",
        severity: "critical",
        summary: "{{ $labels.namespace }}/{{ $labels.policy }} has had no whole backup for a day",
        description: "No backup of the policy holds every volume, so there is nothing that its rpo could be measured by. \
                      `couchestor status` says whether none is made, or which volumes they lack.",
    },
    Alert {
        name: "CouchestorVolumeNeverBackedUp",
        // Of a policy with an rpo the alert before tells.
        expr: "max by (namespace, claim, policy) (couchestor_volume_unprotected{reason=\"NeverBackedUp\"}) == 1 \
               unless on (policy) max by (policy) (couchestor_rpo_objective_seconds)",
        lasting: "26h",
        severity: "warning",
        summary: "{{ $labels.namespace }}/{{ $labels.claim }} has had no backup of {{ $labels.policy }} for a day",
        description: "The policy promises no rpo, and has made no backup since the volume came into its scope. `couchestor plan` shows when it \
                      is due next, and `couchestor status` whether Velero refuses its Schedule.",
    },
    Alert {
        name: "CouchestorVolumeUnprotected",
        // What is younger than the newest backup waits for the next one, and what was never backed up has alerts of its own.
        expr: "max by (namespace, claim, policy, reason) \
               (couchestor_volume_unprotected{reason!~\"YoungerThanBackup|NeverBackedUp\"}) == 1",
        lasting: "15m",
        severity: "critical",
        summary: "The newest backup does not hold {{ $labels.namespace }}/{{ $labels.claim }}: {{ $labels.reason }}",
        description: "Velero may call that backup Completed all the same. `kubectl describe backuppolicy {{ $labels.policy }}` says what to \
                      do about each volume.",
    },
    Alert {
        name: "CouchestorRestoreUnproved",
        // A drill that fails may be repeated the same day.
        expr: "max by (namespace, policy, reason) (couchestor_restore_unproved{reason!=\"NeverDrilled\"}) == 1",
        lasting: "1h",
        severity: "warning",
        summary: "Nobody knows whether {{ $labels.namespace }}/{{ $labels.policy }} can be restored in time: {{ $labels.reason }}",
        description: "The last drill failed, is too long ago, or restores take longer than the policy's rto. `couchestor drill list` says which, \
                      and `couchestor drill run {{ $labels.policy }}` tries it now.",
    },
    Alert {
        name: "CouchestorNeverDrilled",
        // A weekly schedule has come by then.
        expr: "max by (namespace, policy) (couchestor_restore_unproved{reason=\"NeverDrilled\"}) == 1",
        lasting: "8d",
        severity: "warning",
        summary: "A namespace of {{ $labels.namespace }}/{{ $labels.policy }} was never restored in a drill",
        description: "The policy asks for drills, and none has ended in eight days. `couchestor drill list` says what they wait for.",
    },
    Alert {
        name: "CouchestorRolloutWaits",
        expr: "max by (rollout, phase) (couchestor_rollout_gates_failing) > 0",
        lasting: "3d",
        severity: "warning",
        summary: "Phase {{ $labels.phase }} of {{ $labels.rollout }} has waited for {{ $value }} of its gates for three days",
        description: "`couchestor plan` says what each gate found. Workloads that have moved stay where they are.",
    },
];

/// The ServiceMonitor and the PrometheusRule.
pub(super) fn objects(meta: &Value, labels: &Value) -> Vec<Value> {
    let rules: Vec<Value> = ALERTS.iter().map(rule).collect();
    vec![
        json!({"apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor", "metadata": meta, "spec": {
            "selector": {"matchLabels": labels}, "endpoints": [{"port": "metrics", "interval": "30s"}]}}),
        json!({"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule", "metadata": meta, "spec": {
            "groups": [{"name": "couchestor", "rules": rules}]}}),
    ]
}

fn rule(alert: &Alert) -> Value {
    json!({
        "alert": alert.name, "expr": alert.expr, "for": alert.lasting, "labels": {"severity": alert.severity},
        "annotations": {"summary": alert.summary, "description": alert.description},
    })
}
