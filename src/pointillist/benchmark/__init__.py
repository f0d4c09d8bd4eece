"""Methods × folds × seeds on one dataset: trained, predicted, evaluated and recorded, however often it is stopped."""
