"""Which of several prepared models suits the target images: estimates before anything is trained."""
