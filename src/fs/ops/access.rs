//! Who may do what, for requests that the kernel does not check.
//!
//! The mount asks the kernel to check modes and owners (`default_permissions`), and it does so wherever a path or a descriptor is
//! used. An ioctl is let through to us with whatever paths it holds, for whoever could open the descriptor: so what the kernel would
//! have asked of a program that does the same by open and write is asked here.

use crate::error::Result;
use crate::fs::Fs;
use crate::fs::names::access::{Credentials, SEARCH, WRITE};
use crate::fs::names::attr::{FileKind, Ino};
use crate::fs::names::tree::NodeView;

impl Fs {
    /// EACCES unless the mode of a node allows what is wanted.
    pub(in crate::fs) fn check_access(&self, node: &NodeView, want: u32, who: &Credentials) -> Result<()> {
        who.check(&self.attr_of(node), want, &node.name)
    }

    /// To write a file of that name: the file, if there is one, otherwise the directory.
    pub(in crate::fs) fn check_target(&self, parent: Ino, target: Option<&NodeView>, who: &Credentials) -> Result<()> {
        let parent = self.tree.view(parent)?;
        match target {
            Some(target) => {
                self.check_access(&parent, SEARCH, who)?;
                self.check_access(target, WRITE, who)
            }
            None => self.check_access(&parent, WRITE | SEARCH, who),
        }
    }

    /// The node at a path from the root of the mount, if the caller may go there.
    pub(in crate::fs) async fn walk_as(&self, path: &str, who: &Credentials) -> Result<NodeView> {
        let mut node = self.tree.view(Ino::ROOT)?;
        for name in path.split('/').filter(|name| !name.is_empty() && *name != ".") {
            if node.kind == FileKind::Directory {
                self.check_access(&node, SEARCH, who)?;
            }
            node = self.resolve(node.ino, name).await?;
        }
        Ok(node)
    }
}
