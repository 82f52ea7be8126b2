//! Bad input: the exact message for each, and nothing that panics or takes long.

use proptest::prelude::*;

use super::{BUILDING, process};
use crate::manifest::{MOST_BYTES, parse};

fn refusal(text: &str) -> String {
    match parse(text, "app.yaml") {
        Ok(application) => panic!("accepted: {text}\n{application:?}"),
        Err(errors) => errors.to_string(),
    }
}

/// Keys of a process (from line 7 on) and the error.
const KEYS: &[(&str, &str)] = &[
    (
        "    replicas: many\n",
        "app.yaml:7:15: services.web.replicas: expected a number from 0 to 10000 or `per-node`, found `many`",
    ),
    (
        "    replicas: 10001\n",
        "app.yaml:7:15: services.web.replicas: expected a number from 0 to 10000 or `per-node`, found `10001`",
    ),
    (
        "    replicas: \"3\"\n",
        "app.yaml:7:15: services.web.replicas: expected a number from 0 to 10000 or `per-node`, found the text \"3\"",
    ),
    (
        "    replicas: |-\n      3\n",
        "app.yaml:8:7: services.web.replicas: expected a number from 0 to 10000 or `per-node`, found the text \"3\"",
    ),
    (
        "    replicas: 1.0\n",
        "app.yaml:7:15: services.web.replicas: expected a number from 0 to 10000 or `per-node`, found `1.0`",
    ),
    (
        "    replicas: 010\n",
        "app.yaml:7:15: services.web.replicas: expected a number from 0 to 10000 or `per-node`, found `010`",
    ),
    ("    replcas: 2\n", "app.yaml:7:5: services.web.replcas: unknown key; did you mean `replicas`?"),
    (
        "    replicas: { total: 3 }\n",
        "app.yaml:7:5: services.web.replicas: `per-cluster` is missing: how many each cluster has, as in `per-cluster: { min: 1, max: 3 }`",
    ),
    (
        "    replicas: { total: 3, per-cluster: { min: 3, max: 2 } }\n",
        "app.yaml:7:27: services.web.replicas.per-cluster: no number is at least `min: 3` and at most `max: 2`",
    ),
    (
        "    replicas: { per-cluster: { max: 2 } }\n    placement: { cluster: vienna }\n",
        "app.yaml:7:5: services.web.replicas: `per-cluster` shares replicas out, and `placement.cluster` names one; remove one of them",
    ),
    (
        "    scale: { max: 3, cpu: 70% }\n",
        "app.yaml:7:5: services.web.scale: a share of nothing: say what an instance reserves, `resources.cpu`",
    ),
    (
        "    scale: { max: 3 }\n",
        "app.yaml:7:5: services.web.scale: one of `cpu`, `memory` and `metric` says by what it is scaled",
    ),
    (
        "    scale: { min: 4, max: 3, cpu: 70% }\n",
        "app.yaml:7:5: services.web.scale: no number is at least `min: 4` and at most `max: 3`",
    ),
    (
        "    scale: { min: 0, max: 3, cpu: 70% }\n",
        "app.yaml:7:19: services.web.scale.min: expected a number from 1 to 10000, found `0`",
    ),
    (
        "    scale: { max: 3, cpu: 700% }\n",
        "app.yaml:7:27: services.web.scale.cpu: expected a share of what an instance reserves, from `1%` to `100%`, found `700%`",
    ),
    (
        "    resources: { cpu: 1 }\n    scale: { max: 3, cpu: 70%, cooldown: 2h }\n",
        "app.yaml:8:42: services.web.scale.cooldown: expected a duration up to 1h, found `2h`",
    ),
    (
        "    resources: { cpu: 1 }\n    replicas: 9\n    scale: { max: 3, cpu: 70% }\n",
        "app.yaml:8:15: services.web.replicas: it begins with a number from `scale.min`, 1, to `scale.max`, 3",
    ),
    (
        "    resources: { cpu: 1 }\n    replicas: per-node\n    scale: { max: 3, cpu: 70% }\n",
        "app.yaml:9:5: services.web.scale: `replicas: per-node` is scaled by nodes",
    ),
    (
        "    kind: job\n    resources: { cpu: 1 }\n    scale: { max: 3, cpu: 70% }\n",
        "app.yaml:9:5: services.web.scale: work that ends is not scaled; `scale` belongs to `kind: service`",
    ),
    (
        "    ports: { http: auto }\n    scale: { max: 3, metric: { name: \"a b\", target: 0 } }\n",
        "app.yaml:8:38: services.web.scale.metric.name: expected the name of a metric, letters, digits, `_` and `:`, at most 200, found the text \"a b\"\napp.yaml:8:53: services.web.scale.metric.target: `0` is not a number above 0 with three decimals at most, as in `20` or `0.5`",
    ),
    (
        "    update: { strategy: blue-green }\n",
        "app.yaml:7:25: services.web.update.strategy: expected `rolling` or `recreate` or `canary`, found `blue-green`",
    ),
    (
        "    update: { parallel: 0 }\n",
        "app.yaml:7:25: services.web.update.parallel: expected a number from 1 to 10000, found `0`",
    ),
    (
        "    update: { healthy-for: 36500d }\n",
        "app.yaml:7:28: services.web.update.healthy-for: expected a duration from 0s to 1d, found `36500d`",
    ),
    (
        "    update: { deadline: 0s }\n",
        "app.yaml:7:25: services.web.update.deadline: expected a duration from 1s to 7d, found `0s`",
    ),
    (
        "    update: { healthy-for: 1m, deadline: 30s }\n",
        "app.yaml:7:32: services.web.update.deadline: no slot can run well for 1m within a deadline of 30s",
    ),
    (
        "    update: { on-failure: pray }\n",
        "app.yaml:7:27: services.web.update.on-failure: expected `halt` or `rollback`, found `pray`",
    ),
    (
        "    update: { strategy: rolling, canary: { count: 1 } }\n",
        "app.yaml:7:34: services.web.update.canary: belongs to `strategy: canary`",
    ),
    (
        "    update: { strategy: recreate, parallel: 2 }\n",
        "app.yaml:7:35: services.web.update.parallel: `recreate` ends all at once; `parallel` belongs to `rolling`",
    ),
    (
        "    update: { strategy: canary }\n",
        "app.yaml:7:15: services.web.update.strategy: a canary of 1 is all of 1 replicas: nothing is left to be careful with",
    ),
    (
        "    replicas: 4\n    update: { strategy: canary, canary: { count: 1, share: 20% } }\n",
        "app.yaml:8:53: services.web.update.canary.share: either `count` or `share` says how many go first",
    ),
    (
        "    replicas: 4\n    update: { strategy: canary, canary: { count: 4 } }\n",
        "app.yaml:8:33: services.web.update.canary: a canary of 4 is all of 4 replicas: nothing is left to be careful with",
    ),
    (
        "    replicas: 4\n    update: { strategy: canary, canary: { share: 100% } }\n",
        "app.yaml:8:50: services.web.update.canary.share: expected a share from `1%` to `99%`, found `100%`",
    ),
    (
        "    replicas: 4\n    update: { strategy: canary, canary: { promote: soon } }\n",
        "app.yaml:8:52: services.web.update.canary.promote: expected `manual` or `{ after: 1m }`, found `soon`",
    ),
    (
        "    replicas: per-node\n    update: { strategy: canary }\n",
        "app.yaml:8:15: services.web.update.strategy: a canary needs `replicas` in numbers, not `per-node`",
    ),
    (
        "    secrets: { db: { env: 1X } }\n",
        "app.yaml:7:27: services.web.secrets.db.env: expected a variable's name: letters, digits and `_`, not starting with a digit",
    ),
    (
        "    secrets: { db: {} }\n",
        "app.yaml:7:20: services.web.secrets.db: expected `{ env: VARIABLE }` or `{ file: true }`, found neither",
    ),
    (
        "    files: { conf: { path: /etc/x } }\n",
        "app.yaml:7:22: services.web.files.conf.path: a process sees the node's own files; it finds this one as `$HOLM_FILES/conf`",
    ),
    (
        "    files: { conf: { mode: \"4755\" } }\n",
        "app.yaml:7:28: services.web.files.conf.mode: expected three octal digits, as in `\"0444\"`, found the text \"4755\"",
    ),
    (
        "    on-change: { signal: KILL }\n",
        "app.yaml:7:26: services.web.on-change.signal: expected `HUP` or `INT` or `QUIT` or `TERM` or `USR1` or `USR2`, found `KILL`",
    ),
    (
        "    stop: { gracee: 1s, grace: 1s }\n",
        "app.yaml:7:13: services.web.stop.gracee: unknown key; did you mean `grace`?",
    ),
    (
        "    placement: { where: x }\n",
        "app.yaml:7:25: services.web.placement.where: there is no `x`; known are `labels`, `runtimes`, `capabilities` (`caps`), `arch`, `os`, `name` and `cluster` (character 1 of the expression)",
    ),
    (
        "    placement: { where: \"arch == 'arm64' && zone\" }\n",
        "app.yaml:7:45: services.web.placement.where: there is no `zone`; known are `labels`, `runtimes`, `capabilities` (`caps`), `arch`, `os`, `name` and `cluster` (character 20 of the expression)",
    ),
    (
        "    placement:\n      where: |\n        true &&\n        true |\n",
        "app.yaml:9:9: services.web.placement.where: `|` has no meaning here (character 14 of the expression)",
    ),
    (
        "    placement: { near: { latency: 5ms } }\n",
        "app.yaml:7:18: services.web.placement.near: `users` is missing: where they are, as in `{ lat: 48.2, lon: 16.4 }`",
    ),
    (
        "    placement: { near: { users: { lat: 1, lon: 1 }, latency: 0s } }\n",
        "app.yaml:7:62: services.web.placement.near.latency: expected 1ms to 10s, found `0s`",
    ),
    (
        "    placement: { violated: { then: migrate } }\n",
        "app.yaml:7:18: services.web.placement.violated: no bound of latency is required (`connects: [{ …, latency: 20ms }]` or `near:`); remove it, or add one",
    ),
    (
        "    placement: { near: { users: { lat: 1, lon: 1 }, latency: 5ms }, violated: { for: 1s } }\n",
        "app.yaml:7:86: services.web.placement.violated.for: expected 10s to 1d, found `1s`",
    ),
    (
        "    placement: { near: { users: { lat: 1, lon: 1 }, latency: 5ms }, violated: { then: stop } }\n",
        "app.yaml:7:87: services.web.placement.violated.then: expected `event` or `migrate`, found `stop`",
    ),
    (
        "    placement: { strategy: worst-fit }\n",
        "app.yaml:7:28: services.web.placement.strategy: expected `first-fit`, `best-fit`, `location`, `latency`, `random`, `spread` as in `{ spread: node }` (or `cluster`, or a label), or a scheduler of your own as in `{ external: green }`, found `worst-fit`",
    ),
    (
        "    placement: { strategy: { spread: \"a b\" } }\n",
        "app.yaml:7:38: services.web.placement.strategy.spread: expected `node`, `cluster` or the key of a label, found the text \"a b\"",
    ),
    (
        "    placement: { strategy: { spread: node, external: green } }\n",
        "app.yaml:7:54: services.web.placement.strategy.external: either `spread` or `external` ranks; remove one of them",
    ),
    (
        "    placement: { strategy: location }\n",
        "app.yaml:7:28: services.web.placement.strategy: `location` ranks by the distance to a point: give one, as in `location: { lat: 48.2, lon: 16.4 }`",
    ),
    (
        "    placement: { location: { lat: 91, lon: 0 } }\n",
        "app.yaml:7:35: services.web.placement.location.lat: `91` is not a latitude: degrees from -90 to 90, as in `48.2082`",
    ),
    (
        "    placement: { location: { lat: 1, lon: .nan } }\n",
        "app.yaml:7:43: services.web.placement.location.lon: `.nan` is not a longitude: degrees from -180 to 180, as in `16.3738`",
    ),
    (
        "    placement: { location: { lat: 1, lon: 1, within: -5km } }\n",
        "app.yaml:7:54: services.web.placement.location.within: `-5km` is not a distance of at most 40000km, as in `800m` or `5km`",
    ),
    (
        "    placement: { prefer: [{ where: \"true\", weight: -1 }] }\n",
        "app.yaml:7:52: services.web.placement.prefer[0].weight: expected a number from 1 to 1000, found `-1`",
    ),
    (
        "    placement: { with: [{ service: db, on: node }] }\n",
        "app.yaml:7:36: services.web.placement.with[0].service: there is no service `db`; there are: web",
    ),
    (
        "    placement: { apart: [{ service: web }] }\n",
        "app.yaml:7:26: services.web.placement.apart[0]: `on` is missing: what counts as the same place: `node`, `cluster` or the key of a label",
    ),
    (
        "    placement: { with: [{ service: web, on: node }], apart: [{ service: web, on: node }] }\n",
        "app.yaml:7:61: services.web.placement.apart: `web` cannot be on the same node (`with`) and on another one",
    ),
    (
        "    replicas: per-node\n    placement: { strategy: best-fit }\n",
        "app.yaml:8:18: services.web.placement.strategy: a strategy chooses among nodes, and `replicas: per-node` takes all that match; remove one of them",
    ),
    (
        "    on-node-loss: forget\n",
        "app.yaml:7:19: services.web.on-node-loss: expected `wait-for-return`, or `{ replace-after: 30s }`, found `forget`",
    ),
    (
        "    on-node-loss: { replace-after: -5s }\n",
        "app.yaml:7:36: services.web.on-node-loss.replace-after: `-5s` is not a duration: numbers with `d`, `h`, `m`, `s` or `ms`, as in `500ms`, `10s` or `1h30m`",
    ),
    (
        "    on-node-loss: { replace-after: 9s }\n",
        "app.yaml:7:36: services.web.on-node-loss.replace-after: expected from 10s (keep-alives may be lost) to 30d, found `9s`; `wait-for-return` waits for ever",
    ),
    (
        "    on-node-loss: { replace-after: 900d }\n",
        "app.yaml:7:36: services.web.on-node-loss.replace-after: expected from 10s (keep-alives may be lost) to 30d, found `900d`; `wait-for-return` waits for ever",
    ),
    (
        "    on-node-loss: {}\n",
        "app.yaml:7:5: services.web.on-node-loss: `replace-after` is missing: how long its node is waited for, as in `30s`",
    ),
    (
        "    reconcile: keep-both\n",
        "app.yaml:7:16: services.web.reconcile: expected `keep-original` or `keep-replacement` or `best-score` or `longest-running`, found `keep-both`",
    ),
    (
        "    on-node-loss: wait-for-return\n    reconcile: keep-original\n",
        "app.yaml:8:5: services.web.reconcile: with `on-node-loss: wait-for-return` nothing is replaced, so there is nothing to choose",
    ),
    (
        "    exclusive: true\n    reconcile: best-score\n",
        "app.yaml:8:5: services.web.reconcile: an exclusive service has one copy at most, so there is nothing to choose",
    ),
    (
        "    exclusive: true\n    stop: { grace: 15s, drain: 6s }\n",
        "app.yaml:8:11: services.web.stop: an exclusive instance ends within its lease: expected a `drain` and a `grace` of 20s together at most, found 21s",
    ),
    (
        "    replicas: per-node\n    exclusive: true\n",
        "app.yaml:8:5: services.web.exclusive: with `replicas: per-node` each instance belongs to its node, and is never replaced; remove it",
    ),
    (
        "    before: [run]\n",
        "app.yaml:7:14: services.web.before[0]: expected a mapping with `command`, as in `{ command: [./migrate, up] }`, found `run`",
    ),
    (
        "    before: [{ command: [] }]\n",
        "app.yaml:7:25: services.web.before[0].command: expected at least the program, found an empty list",
    ),
    (
        "    before: [{ timeout: 1m }]\n",
        "app.yaml:7:14: services.web.before[0]: `command` is missing: program and arguments of the step",
    ),
    (
        "    before: [{ command: [a], timeout: 500ms }]\n",
        "app.yaml:7:39: services.web.before[0].timeout: expected 1s to 1d, found `500ms`",
    ),
    (
        "    before: [{ command: [a, '{{port.http}}'] }]\n",
        "app.yaml:7:29: services.web.before[0].command[1]: the service has no port `http`",
    ),
    (
        "    before: [a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a]\n",
        "app.yaml:7:13: services.web.before: expected at most 16 steps, found 17",
    ),
    (
        "    kind: demon\n",
        "app.yaml:7:11: services.web.kind: expected `service`, `job`, `{ job: { deadline: 1h } }` or `{ cron: \"*/15 * * * *\" }`, found `demon`",
    ),
    (
        "    kind: { job: {}, cron: \"* * * * *\" }\n",
        "app.yaml:7:22: services.web.kind.cron: either `job` (once) or `cron` (again and again)",
    ),
    (
        "    kind: { job: {}, keep: 3 }\n",
        "app.yaml:7:22: services.web.kind.keep: belongs to `cron`, or, a deadline or retries, into `job`",
    ),
    (
        "    kind: { cron: \"61 * * * *\" }\n",
        "app.yaml:7:19: services.web.kind.cron: `61` is no minute: 0 to 59, `*`, lists and ranges, as in `1,5-9` or `*/2`",
    ),
    (
        "    kind: { cron: hourly }\n",
        "app.yaml:7:19: services.web.kind.cron: `hourly` is no schedule: five fields, minute, hour, day, month and weekday, as in `*/15 * * * *`",
    ),
    (
        "    kind: { cron: \"0 0 31 2 *\" }\n",
        "app.yaml:7:19: services.web.kind.cron: `0 0 31 2 *` never comes: there is no such day",
    ),
    (
        "    kind: { cron: \"* * * * *\", zone: Europe/Wien }\n",
        "app.yaml:7:38: services.web.kind.zone: there is no time zone `Europe/Wien`; names are those of the IANA data, as in `Europe/Vienna` or `UTC`",
    ),
    (
        "    kind: { cron: \"* * * * *\", keep: 0 }\n",
        "app.yaml:7:38: services.web.kind.keep: expected a number from 1 to 100, found `0`",
    ),
    (
        "    kind: { job: { deadline: 0s } }\n",
        "app.yaml:7:30: services.web.kind.job.deadline: expected a duration from 1s to 365d, found `0s`",
    ),
    (
        "    kind: { job: { retries: 3 } }\n    restart: { policy: never }\n",
        "app.yaml:8:5: services.web.restart: `policy: never` begins nothing again, and `retries` does; remove one of them",
    ),
    (
        "    kind: job\n    restart: { policy: always }\n",
        "app.yaml:8:5: services.web.restart: a job ends: `policy: always` would begin it again for ever",
    ),
    (
        "    kind: { cron: \"* * * * *\" }\n    replicas: per-node\n",
        "app.yaml:7:5: services.web.kind: runs of `cron` need `replicas` in numbers, not `per-node`",
    ),
    (
        "    kind: { cron: \"* * * * *\" }\n    ports: { http: auto }\n    expose: { http: 8080 }\n",
        "app.yaml:9:5: services.web.expose: a port leads to one service, and each run of `cron` is one of its own",
    ),
    (
        "    image: x\n",
        "app.yaml:7:5: services.web.image: a process has no image; use `runtime: container`, or remove it",
    ),
    (
        "    env: [A]\n",
        "app.yaml:7:10: services.web.env: expected a mapping of variables, as in `LOG: debug`, found a list",
    ),
    (
        "    env: { 1A: x }\n",
        "app.yaml:7:12: services.web.env.1A: expected a variable's name: letters, digits and `_`, not starting with a digit",
    ),
    (
        "    env: { A: }\n",
        "app.yaml:7:13: services.web.env.A: expected a text (write \"\" for an empty one), found nothing",
    ),
    ("    env: { A: \"x\\0y\" }\n", "app.yaml:7:15: services.web.env.A: contains a NUL character"),
    (
        "    env: { A: \"{{port.http}}\" }\n",
        "app.yaml:7:15: services.web.env.A: the service has no port `http`",
    ),
    (
        "    env: { A: \"{{node.name\" }\n",
        "app.yaml:7:15: services.web.env.A: `{{` without `}}` in `{{node.name`; write `{{\"{{\"}}` for two plain braces",
    ),
    (
        "    ports: { http: 0 }\n",
        "app.yaml:7:20: services.web.ports.http: expected a number from 1 to 65535 or `auto`, found `0`",
    ),
    (
        "    ports: { http: { host: 80, container: 81 } }\n",
        "app.yaml:7:32: services.web.ports.http.container: a process listens on the node's own ports; use `host` alone",
    ),
    (
        "    ports: { a: 80, b: 80 }\n",
        "app.yaml:7:24: services.web.ports.b: the node's port 80 is already that of `a`",
    ),
    (
        "    ports: { Http: 80 }\n",
        "app.yaml:7:14: services.web.ports.Http: `Http` is not a name: 1 to 63 lower-case letters, digits or inner `-`, as in `web-1`",
    ),
    (
        "    resources: { cpu: lots }\n",
        "app.yaml:7:23: services.web.resources.cpu: `lots` is not an amount of CPU: cores as in `1.5`, or thousandths as in `100m`",
    ),
    (
        "    resources: { memory: [1] }\n",
        "app.yaml:7:26: services.web.resources.memory: expected an amount of memory, as in `32Mi`, found a list",
    ),
    (
        "    placement: { require: [hardware/gpu=0] }\n",
        "app.yaml:7:28: services.web.placement.require[0]: `0` is no number of units: 1 to 100000, as in `hardware/gpu=2`",
    ),
    (
        "    placement: { require: [hardware/gpu=1, hardware/gpu] }\n",
        "app.yaml:7:44: services.web.placement.require[1]: `hardware/gpu` is listed twice",
    ),
    (
        "    placement: { tolerates: [a b] }\n",
        "app.yaml:7:30: services.web.placement.tolerates[0]: `a b` is no taint: `key` or `key=value` is expected, a key as of a label",
    ),
    (
        "    placement: { require: [ble] }\n",
        "app.yaml:7:28: services.web.placement.require[0]: `ble` is not a capability: a type and a name are expected, as in `hardware/zigbee`",
    ),
    (
        "    restart: always\n",
        "app.yaml:7:14: services.web.restart: expected a mapping with `policy`, `attempts` or `backoff`, found `always`",
    ),
    (
        "    restart: { policy: sometimes }\n",
        "app.yaml:7:24: services.web.restart.policy: expected `never` or `on-failure` or `always`, found `sometimes`",
    ),
    (
        "    restart: { attempts: 1001 }\n",
        "app.yaml:7:26: services.web.restart.attempts: expected a number from 0 to 1000, found `1001`",
    ),
    (
        "    restart: { backoff: 5s }\n",
        "app.yaml:7:25: services.web.restart.backoff: expected shortest and longest wait between attempts, as in `1s..60s`, found `5s`",
    ),
    (
        "    restart: { backoff: 9s..1s }\n",
        "app.yaml:7:25: services.web.restart.backoff: expected shortest and longest wait between attempts, as in `1s..60s`, from 10ms to 1h and the longest last, found `9s..1s`",
    ),
    ("    stop: { grace: 2h }\n", "app.yaml:7:20: services.web.stop.grace: expected at most 1h, found `2h`"),
    (
        "    stop: { grace: 10 }\n",
        "app.yaml:7:20: services.web.stop.grace: `10` is not a duration: numbers with `d`, `h`, `m`, `s` or `ms`, as in `500ms`, `10s` or `1h30m`",
    ),
    (
        "    volumes: [ \"../x:/y\" ]\n",
        "app.yaml:7:16: services.web.volumes[0]: expected an absolute path or a volume's name: `../x` is not a name: 1 to 63 lower-case letters, digits or inner `-`, as in `web-1`",
    ),
    (
        "    volumes: [ \"x:/a/../y\" ]\n",
        "app.yaml:7:16: services.web.volumes[0]: expected an absolute path without `..`, found `/a/../y`",
    ),
    (
        "    volumes: [ \"x:/y:rw\" ]\n",
        "app.yaml:7:16: services.web.volumes[0]: expected `source:target`, `source:target:ro` or a mapping with `source` and `target`, found the text \"x:/y:rw\"",
    ),
    (
        "    volumes: [ { source: x, target: /y, read-only: yes } ]\n",
        "app.yaml:7:52: services.web.volumes[0].read-only: expected `true` or `false`, found `yes`",
    ),
    (
        "    workdir: tmp\n",
        "app.yaml:7:14: services.web.workdir: expected an absolute path without `..`, found `tmp`",
    ),
    (
        "    user: \"a b\"\n",
        "app.yaml:7:11: services.web.user: expected a user's name or number, found the text \"a b\"",
    ),
    (
        "    connects: [ { service: db, port: sql } ]\n",
        "app.yaml:7:28: services.web.connects[0].service: there is no service `db`; there are: web",
    ),
    (
        "    connects: [ { service: web, port: sql } ]\n",
        "app.yaml:7:39: services.web.connects[0].port: service `web` has no ports; add `sql` to its `ports`",
    ),
    (
        "    ports: { http: auto }\n    connects: [ { service: web, port: sql } ]\n",
        "app.yaml:8:39: services.web.connects[0].port: service `web` has no port `sql`; it has: http",
    ),
    (
        "    connects: [ { service: web } ]\n",
        "app.yaml:7:17: services.web.connects[0]: `port` is missing: the name of one of that service's ports",
    ),
];

#[test]
fn each_bad_key_has_its_message() {
    let wrong: Vec<String> = KEYS
        .iter()
        .map(|(keys, expected)| (refusal(&process(keys)), *expected))
        .filter(|(found, expected)| found != expected)
        .map(|(found, expected)| format!("found    {found}\nexpected {expected}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_bad_document_has_its_message() {
    let top = "expected a mapping with `holm`, `application` and `services`";
    let limits = "too large or nested too deep: at most 24 levels, 100000 values, and 20000 through aliases";
    let cases: &[(&str, String)] = &[
        ("", format!("app.yaml:1:1: {top}, found nothing")),
        ("- a", format!("app.yaml:1:1: {top}, found a list")),
        ("holm: v1\nholm: v1\n", "app.yaml:2:1: duplicate mapping key `holm` is not allowed here".into()),
        ("a: [", "app.yaml:1:4: not YAML: unclosed bracket '['".into()),
        ("a: *b", "app.yaml:1:4: this alias has no anchor before it; quote the text if it is none".into()),
        ("a: !x b", "app.yaml:1:7: not YAML: unsupported tag `!x`".into()),
        ("a: 1\n---\nb: 1\n", "app.yaml:3:1: a second document starts here; a manifest is exactly one".into()),
        (&format!("a: {}1{}", "[".repeat(40), "]".repeat(40)), format!("app.yaml:1:27: {limits}")),
        ("holm: v2\napplication: a\nservices: { web: { runtime: x } }", "app.yaml:1:7: holm: expected `v1`, found `v2`".into()),
        ("holm: v1\napplication: ../a\nservices: { web: { runtime: x } }", "app.yaml:2:14: application: `../a` is not a name: 1 to 63 lower-case letters, digits or inner `-`, as in `web-1`".into()),
        ("holm: v1\napplication: a\nservices: { ../a: { runtime: x } }", "app.yaml:3:13: services.../a: `../a` is not a name: 1 to 63 lower-case letters, digits or inner `-`, as in `web-1`".into()),
        ("holm: v1\napplication: a\nservices: {}", "app.yaml:3:11: services: expected at least one service".into()),
        ("holm: v1\napplication: a\nservices: { web: }", "app.yaml:3:16: services.web: expected a mapping with `runtime` and what to run, found nothing".into()),
        ("holm: v1\napplication: a\nproject: x\nservices: { web: { runtime: x } }", "app.yaml:3:1: project: not yet supported by this version".into()),
        ("holm: v1\napplication: a\nservices: { web: { runtime: process } }", "app.yaml:3:13: services.web: `command` is missing: a process needs program and arguments, as in `command: [sleep, \"60\"]`".into()),
        ("holm: v1\napplication: a\nservices: { web: { runtime: container } }", "app.yaml:3:13: services.web: `image` is missing: a container needs one, as in `image: docker.io/library/nginx:1.27`".into()),
        ("holm: v1\napplication: a\nservices: { web: { runtime: container, image: x, exclusive: true } }", "app.yaml:3:50: services.web.exclusive: only `runtime: process` ends an instance at the end of its lease when its agent cannot; use that one, or remove this".into()),
        ("holm: v1\napplication: a\nservices: { web: { command: [a] } }", "app.yaml:3:13: services.web: `runtime` is missing: `process`, `container` or the name of a plug-in".into()),
        ("holm: v1\napplication: a\nservices: { web: { runtime: process, command: sleep 60 } }", "app.yaml:3:47: services.web.command: expected a list of program and arguments, found `sleep 60`; write `[sleep, 60]`, or `[sh, -c, \"…\"]` for a shell".into()),
    ];
    for (text, expected) in cases {
        assert_eq!(refusal(text), *expected, "{text}");
    }
}

#[test]
fn all_faults_are_shown_at_once_in_the_order_of_the_text() {
    let text = process("    replicas: many\n    colour: red\n    stop: { grace: soon }\n");
    let places: Vec<String> =
        parse(&text, "x").unwrap_err().errors.iter().map(|e| format!("{} {}", e.line, e.path)).collect();
    assert_eq!(places, ["7 services.web.replicas", "8 services.web.colour", "9 services.web.stop.grace"]);
}

#[test]
fn many_faults_are_counted() {
    let keys: String = (0..80).map(|i| format!("    key{i}: 1\n")).collect();
    let message = refusal(&process(&keys));
    assert_eq!(message.lines().count(), 51);
    assert!(message.ends_with("app.yaml: and 30 more"), "{message}");
}

#[test]
fn large_manifests_are_refused_unread() {
    let message = refusal(&"a: b\n".repeat(2_000_000));
    assert_eq!(message, "app.yaml:1:1: a manifest has at most 1048576 bytes, this one has 10000000");
}

#[test]
fn bombs_are_refused() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for i in 1..9 {
        let alias = vec![format!("*a{}", i - 1); 9].join(", ");
        bomb += &format!("a{i}: &a{i} [{alias}]\n");
    }
    assert!(refusal(&bomb).contains("too large or nested too deep"), "{}", refusal(&bomb));
    let wide = format!("a: [{}]", "1,".repeat(MOST_BYTES / 2 - 4));
    assert!(refusal(&wide).contains("too large or nested too deep"), "{}", refusal(&wide));
    let deep = "[".repeat(MOST_BYTES);
    assert!(refusal(&deep).len() < 300, "{}", refusal(&deep));
}

#[test]
fn errors_are_short() {
    let long = "x".repeat(100_000);
    for keys in [
        format!("    {long}: 1\n"),
        format!("    replicas: {long}\n"),
        format!("    image: \"{}\"\n", "\\U0010FFFF".repeat(5_000)),
        format!("    env: {{ \"{long}\": 1 }}\n"),
        format!("    workdir: \"{{{{{long}\"\n"),
        format!("    connects: [ {{ service: web, port: p }}, {long} ]\n"),
    ] {
        for error in parse(&process(&keys), &long).unwrap_err().to_string().lines() {
            assert!(error.len() < 1_000, "{} {error}", error.len());
        }
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "(\\PC|\n)*") {
        let _ = parse(&text, "x").map_err(|errors| errors.to_string());
    }

    #[test]
    fn no_yaml_panics(text in "(a|b:|holm|: |, |- |\\? |\\[|\\]|\\{|\\}|&a |\\*a|<<|!!int|!!str|'|\"|\\||>|\n|\n  |#|%|~|1|--- |\\.\\.\\.|\t){0,40}") {
        let _ = parse(&text, "x").map_err(|errors| errors.to_string());
    }

    #[test]
    fn no_changed_manifest_panics(at in 0..BUILDING.len(), cut in 0..40_usize, put in "\\PC{0,6}") {
        let end = (at + cut).min(BUILDING.len());
        let text = format!("{}{put}{}", &BUILDING[..at], &BUILDING[end..]);
        if let Err(errors) = parse(&text, "x") {
            prop_assert!(!errors.errors.is_empty());
        }
    }
}
