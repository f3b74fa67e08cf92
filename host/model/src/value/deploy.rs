//! Deploy variables: where the artifacts of the module a job deploys stand (`spec/job-params.md` §2.10).

use indexmap::IndexMap;

/// Why deploy variables cannot be computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeployError {
    /// A path with the wrong shape.
    #[error("`{variable}` is `{value}`: expected {expected}")]
    Path {
        /// The environment variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The ids are neither in the environment nor asked from the server yet.
    #[error("`DEPLOY_ID_PATH` is not set: ask the server for the ids of `{0}`")]
    NoIdPath(String),
}

/// What the deploy variables are computed from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployScope {
    /// `DEPLOY_PATH`: names `system/module` or `system/module/environment`.
    pub name_path: String,
    /// `DEPLOY_ID_PATH`: the ids of the same. `None`: ask the server.
    pub id_path: Option<String>,
    /// `DEPLOY_RUNNERGROUP`: JSON object runner id → host. `None`: ask the server.
    pub runner_group: Option<String>,
    /// `VERSION`.
    pub version: Option<String>,
    /// `BUILD_NO`.
    pub build_no: Option<String>,
}

impl DeployScope {
    /// Reads the scope from the environment after options and `environment` were exported. `None`: the job
    /// deploys nothing.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let filled = |name: &str| variable(name).filter(|value| !value.is_empty());
        Some(Self {
            name_path: filled("DEPLOY_PATH")?,
            id_path: filled("DEPLOY_ID_PATH"),
            runner_group: filled("DEPLOY_RUNNERGROUP"),
            version: filled("VERSION"),
            build_no: filled("BUILD_NO"),
        })
    }

    /// The variables, in the order of the specification. One that needs an absent version, build number or
    /// environment is left out; the replaced executor wrote the word `None` there.
    pub fn variables(&self, home: &str) -> Result<IndexMap<String, String>, DeployError> {
        let names = parts("DEPLOY_PATH", &self.name_path)?;
        let id_path = self.id_path.as_deref().ok_or_else(|| DeployError::NoIdPath(self.name_path.clone()))?;
        let ids = parts("DEPLOY_ID_PATH", id_path)?;
        let mut variables = Variables::default();
        variables.put("NAME_PATH", &self.name_path);
        variables.put("SYS_NAME", names.system);
        variables.put("MODULE_NAME", names.module);
        variables.put_if("ENV_NAME", names.environment);
        variables.put("DEPLOY_ID_PATH", &ids.joined());
        variables.put("ID_PATH", &ids.joined());
        variables.put("SYS_ID", ids.system);
        variables.put("MODULE_ID", ids.module);
        variables.put_if("ENV_ID", ids.environment);
        variables.put_if("DEPLOY_RUNNERGROUP", self.runner_group.as_deref());
        self.put_directories(&mut variables, home, &ids);
        variables.put("TOOLS_PATH", &format!("{home}/tools"));
        Ok(variables.0)
    }

    fn put_directories(&self, variables: &mut Variables, home: &str, ids: &Parts<'_>) {
        let data = format!("{home}/data/verdata/{}/{}", ids.system, ids.module);
        variables.put("DATA_PATH", &data);
        variables.put("PRJ_ROOT", &format!("{data}/workspace"));
        variables.put("PRJ_PATH", &format!("{data}/workspace/project"));
        variables.put("MIRROR_ROOT", &format!("{data}/artifact/mirror"));
        let Some(version) = plain_segment(self.version.as_deref()) else { return };
        let root = format!("{data}/artifact/{version}");
        variables.put("VER_ROOT", &root);
        variables.put("BUILD_ROOT", &format!("{root}/build"));
        if let Some(build_no) = plain_segment(self.build_no.as_deref()) {
            variables.put("BUILD_PATH", &format!("{root}/build/{build_no}"));
        }
        variables.put("DIST_ROOT", &format!("{root}/env"));
        if let Some(environment) = ids.environment {
            variables.put("APP_DIST", &format!("{root}/env/{environment}/app"));
            variables.put("DB_SCRIPT", &format!("{root}/env/{environment}/db"));
        }
    }
}

#[derive(Default)]
struct Variables(IndexMap<String, String>);

impl Variables {
    fn put(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.to_owned());
    }

    fn put_if(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }
}

struct Parts<'a> {
    system: &'a str,
    module: &'a str,
    environment: Option<&'a str>,
}

impl Parts<'_> {
    fn joined(&self) -> String {
        [Some(self.system), Some(self.module), self.environment]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join("/")
    }
}

/// The parts become directory names, so none may be empty, `.` or `..`.
fn parts<'a>(variable: &'static str, value: &'a str) -> Result<Parts<'a>, DeployError> {
    let wrong = || DeployError::Path {
        variable,
        value: value.to_owned(),
        expected: "`system/module` or `system/module/environment`, no part empty, `.` or `..`",
    };
    let parts: Vec<&str> = value.trim_matches('/').split('/').collect();
    if parts.iter().any(|part| plain_segment(Some(part)).is_none()) {
        return Err(wrong());
    }
    match parts.as_slice() {
        [system, module] => Ok(Parts { system, module, environment: None }),
        [system, module, environment] => Ok(Parts { system, module, environment: Some(environment) }),
        _ => Err(wrong()),
    }
}

/// A text that can be one directory name below the data directory.
fn plain_segment(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !matches!(*text, "" | "." | "..") && !text.contains(['/', '\0']))
}
