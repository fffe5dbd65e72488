"""The stock ``jupyterhub-idle-culler`` with our word on which server it may stop."""
