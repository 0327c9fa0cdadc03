"""What schemathesis does not know by itself: see schemathesis.rs."""

import schemathesis

schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
