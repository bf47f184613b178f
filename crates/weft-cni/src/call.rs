//! One call of the plugin: its command and its variables, and the request that they become.

use std::env;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use crate::error::{BAD_ENVIRONMENT, CniError, TRY_AGAIN_LATER, UNAVAILABLE};
use crate::json;

/// Where weftd listens unless told otherwise.
const DEFAULT_SOCKET: &str = "/run/weft/weft.sock";

/// Linux's `O_NONBLOCK` (include/uapi/asm-generic/fcntl.h).
const O_NONBLOCK: i32 = 0o4000;

/// One row of the table of commands.
#[derive(Debug)]
pub(crate) struct Command {
    word: &'static str,
    /// Variables it cannot do without; those that concern an attachment need them, the others none.
    required: &'static [&'static str],
    /// Code of the error when weftd is not there.
    pub(crate) agent_away: u32,
}

const ATTACHMENT: &[&str] = &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"];

/// Every command that weftd answers. DEL may come without a namespace: the container can be long gone.
const COMMANDS: &[Command] = &[
    Command { word: "ADD", required: ATTACHMENT, agent_away: TRY_AGAIN_LATER },
    Command { word: "DEL", required: &["CNI_CONTAINERID", "CNI_IFNAME"], agent_away: TRY_AGAIN_LATER },
    Command { word: "CHECK", required: ATTACHMENT, agent_away: TRY_AGAIN_LATER },
    Command { word: "GC", required: &[], agent_away: TRY_AGAIN_LATER },
    Command { word: "STATUS", required: &[], agent_away: UNAVAILABLE },
];

/// What travels: the name of each member of the request and the variable that it holds.
const MEMBERS: &[(&str, &str)] = &[
    ("command", "CNI_COMMAND"),
    ("containerId", "CNI_CONTAINERID"),
    ("netns", "CNI_NETNS"),
    ("ifname", "CNI_IFNAME"),
    ("args", "CNI_ARGS"),
    ("path", "CNI_PATH"),
];

/// The member of a configuration that names another plugin to lease addresses.
const DELEGATION: &str = "ipam";

/// A command whose variables are all there.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) command: &'static Command,
}

impl Call {
    /// Looks the command up, and its variables. All that are missing are named together.
    pub(crate) fn from_environment(word: &str) -> Result<Self, CniError> {
        let bad = |msg: String| CniError::new(BAD_ENVIRONMENT, &msg, "");
        let command = COMMANDS.iter().find(|command| command.word == word);
        let command = command.ok_or_else(|| bad(format!("unknown CNI_COMMAND: {word}")))?;
        let missing: Vec<_> = command.required.iter().copied().filter(|name| variable(name).is_empty()).collect();
        if missing.is_empty() {
            return Ok(Self { command });
        }
        Err(bad(format!("required env variables [{}] missing", missing.join(","))))
    }

    /// The body of the request: the variables and the configuration, untouched. The whole environment is for the plugin
    /// that leases addresses, if the configuration names one.
    pub(crate) fn to_json(&self, config: &str) -> String {
        let mut body = String::with_capacity(config.len() + config.len() / 4 + 1024);
        for (member, name) in MEMBERS {
            body.push_str(if body.is_empty() { "{" } else { "," });
            json::push_member(&mut body, member, &variable(name));
        }
        if json::has_member(config, DELEGATION) {
            body.push_str(",\"environment\":{");
            for (place, (name, value)) in env::vars_os().enumerate() {
                body.push_str(if place == 0 { "" } else { "," });
                json::push_member(&mut body, &name.to_string_lossy(), &value.to_string_lossy());
            }
            body.push('}');
        }
        body.push(',');
        json::push_member(&mut body, "config", config);
        body.push('}');
        body
    }

    /// The container's namespace, for an agent that does not see the runtime's paths. Without it, the path has to do.
    pub(crate) fn netns(&self) -> Option<File> {
        if self.command.required.is_empty() {
            return None;
        }
        // O_NONBLOCK: a FIFO that somebody left at the path must not hang us.
        OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(variable("CNI_NETNS")).ok()
    }
}

/// A variable of the environment; empty if it is not set.
pub(crate) fn variable(name: &str) -> String {
    env::var_os(name).unwrap_or_default().to_string_lossy().into_owned()
}

/// Where weftd listens: as the configuration says, or else the environment.
pub(crate) fn socket(config: &str) -> PathBuf {
    let configured = json::string_member(config, "socket");
    let given = configured.filter(|path| !path.is_empty()).unwrap_or_else(|| variable("WEFT_SOCKET"));
    PathBuf::from(if given.is_empty() { DEFAULT_SOCKET } else { &given })
}
