//! What of a path's owner and access list is an attribute.

use crate::store::{AccessControl, PathProperties};

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AccessName {
    Owner,
    Group,
    Permissions,
    Acl,
}

impl AccessName {
    pub(super) const ALL: [(&'static str, Self); 4] =
        [("owner", Self::Owner), ("group", Self::Group), ("permissions", Self::Permissions), ("acl", Self::Acl)];

    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, access)| *access)
    }

    /// As the properties of a file have it, which have no list.
    pub(super) fn of_path(self, path: &PathProperties) -> Option<String> {
        match self {
            Self::Owner => path.owner.clone(),
            Self::Group => path.group.clone(),
            Self::Permissions => path.permissions.clone(),
            Self::Acl => None,
        }
    }

    pub(super) fn of(self, access: &mut AccessControl) -> &mut Option<String> {
        match self {
            Self::Owner => &mut access.owner,
            Self::Group => &mut access.group,
            Self::Permissions => &mut access.permissions,
            Self::Acl => &mut access.acl,
        }
    }
}
