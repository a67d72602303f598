# SPDX-License-Identifier: Apache-2.0
"""Messages and stubs of the daemon's services, generated from proto/pwemu/v1 by `make python-messages`; for calls that the
package does not offer."""
