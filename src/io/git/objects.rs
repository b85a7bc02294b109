//! Raw objects: for their signatures, and by their names.

use super::{GitError, Repository, failed};
use git2::{ObjectType, Oid};

/// The id that a blob with this content has; empty when it is too large for Git to name.
pub fn blob_id(content: &[u8]) -> String {
    let named = Oid::hash_object(ObjectType::Blob, content);
    named.map(|id| id.to_string()).unwrap_or_default()
}

impl Repository {
    /// The bytes of an object that is here, as Git hashes them.
    ///
    /// # Errors
    /// [`GitError::Failed`] when it is not here or larger than `max` bytes.
    pub async fn object(&self, id: &str, max: usize) -> Result<Vec<u8>, GitError> {
        let id = Oid::from_str(id).map_err(failed)?;
        self.locally(move |repository| {
            let database = repository.odb().map_err(failed)?;
            let (size, _) = database.read_header(id).map_err(failed)?;
            if size > max {
                return Err(GitError::Failed {
                    detail: format!("object {id} has {size} bytes; {max} are read at most"),
                });
            }
            Ok(database.read(id).map_err(failed)?.data().to_vec())
        })
        .await
    }
}
