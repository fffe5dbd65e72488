# ruff: noqa: F821 - JupyterHub defines c
"""People who may log in."""

c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = "user-password-of-tests"
c.SharedPasswordAuthenticator.admin_password = "admin-password-of-tests-that-is-long-enough"
c.Authenticator.admin_users = {"ada"}
c.Authenticator.allow_all = True
